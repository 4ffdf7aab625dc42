import { closeSync, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { DiffuseError } from '@diffuse/core';

/** Images of one size, one after the other, that can be copied out in any order. */
export interface PixelSource {
  /** Copies image `indices[i]` to `target[i * imageBytes]`. The caller has checked both. */
  read(indices: Int32Array, target: Uint8Array): Promise<void>;
  /** Lets go of the memory or the file; reads under way finish first. */
  close(): void;
}

/**
 * Images that are held in memory.
 *
 * @param pixels uint8 [count, imageBytes].
 */
export function memoryPixels(pixels: Uint8Array, imageBytes: number): PixelSource {
  let held: Uint8Array | undefined = pixels;
  return {
    async read(indices, target) {
      if (!held) throw closed();
      for (let i = 0; i < indices.length; i++) {
        const start = (indices[i] as number) * imageBytes;
        target.set(held.subarray(start, start + imageBytes), i * imageBytes);
      }
    },
    close() {
      held = undefined;
    },
  };
}

const openFile = promisify(open);
const readFile = promisify(read);

/** An open file and the reads that still need it. */
interface SharedFile {
  readonly descriptor: number;
  reads: number;
  closed: boolean;
}

/** Closes the file of a source that was forgotten without `close()`. */
const forgotten = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

/**
 * Images that stay in their file, for sets larger than the memory. The file is opened once: if somebody renames
 * another one into its place, the images stay those that were opened.
 *
 * @param offset where the first image starts, in bytes.
 */
export async function filePixels(path: string, offset: number, imageBytes: number): Promise<PixelSource> {
  const file: SharedFile = { descriptor: await openFile(path, 'r'), reads: 0, closed: false };
  forgotten.register(file, file.descriptor, file);
  const release = (): void => {
    if (!file.closed || file.reads > 0) return;
    forgotten.unregister(file);
    closeSync(file.descriptor);
  };
  return {
    async read(indices, target) {
      if (file.closed) throw closed();
      file.reads++;
      try {
        await readRuns(file.descriptor, path, offset, imageBytes, indices, target);
      } finally {
        file.reads--;
        release();
      }
    },
    close() {
      if (file.closed) return;
      file.closed = true;
      release();
    },
  };
}

/** Reads at once what a handful of threads can use; more would only queue. */
const readsAtOnce = 32;

/** One positioned read for each run of consecutive images. */
async function readRuns(
  descriptor: number,
  path: string,
  offset: number,
  imageBytes: number,
  indices: Int32Array,
  target: Uint8Array,
): Promise<void> {
  const readRun = async (from: number, to: number): Promise<void> => {
    let done = from * imageBytes;
    const start = offset + (indices[from] as number) * imageBytes - done;
    while (done < to * imageBytes) {
      const { bytesRead } = await readFile(descriptor, target, done, to * imageBytes - done, start + done);
      if (bytesRead === 0)
        throw new DiffuseError('ERR_DATA', `${path} became shorter while it was in use; open it again`);
      done += bytesRead;
    }
  };
  let pending: Promise<void>[] = [];
  for (let from = 0; from < indices.length; ) {
    let to = from + 1;
    while (to < indices.length && indices[to] === (indices[to - 1] as number) + 1) to++;
    pending.push(readRun(from, to));
    from = to;
    if (pending.length === readsAtOnce || from === indices.length) {
      // Every read has ended before an error leaves: the descriptor and the target are the caller's again.
      const failed = (await Promise.allSettled(pending)).find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
      pending = [];
    }
  }
}

function closed(): DiffuseError {
  return new DiffuseError('ERR_DISPOSED', 'the data set is closed; open it again to read from it');
}
