import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { writeAtomically } from './atomic-file.ts';
import { filePixels, memoryPixels, type PixelSource } from './pixel-source.ts';
import type { SkippedFile } from './settings.ts';

// The packed file, all numbers little endian:
//
//    0   8  magic, its last byte the version of this layout
//    8   8  uint64: where the header starts
//   16   4  uint32: bytes of the header
//   20  32  SHA-256 of the header
//   52  12  zero
//   64      pixels uint8 [count, height, width, channels], labels int32 [count] if there are any
//    …      header: JSON, the last thing in the file
//
// The preamble is written last, so a file that was cut short or never finished has no magic or the wrong length.

const magic = Buffer.from('DIFFUSE\x01', 'latin1');
const preambleBytes = 64;

/** What a packed file says about its images. */
export interface PackedHeader {
  /** What the file was made from; see `cacheKey`. */
  readonly key: string;
  readonly shape: readonly [height: number, width: number, channels: number];
  readonly count: number;
  readonly classNames?: readonly string[];
  /** Files that could not be decoded. */
  readonly skipped: readonly SkippedFile[];
  /** Images that had fewer pixels than asked for. */
  readonly enlarged: number;
  /** CRC-32 of pixels and labels: against damage, not against forgers, and several times as fast as SHA-256. */
  readonly checksum: number;
}

/** A packed file that was checked and is ready to read. */
export interface PackedImages {
  readonly header: PackedHeader;
  readonly labels?: Int32Array;
  readonly pixels: PixelSource;
}

/** Takes the images of a packed file in their order. */
export interface PackedWriter {
  /** Adds pixels: any number of whole images, uint8 [n, height, width, channels]. */
  append(pixels: Uint8Array): Promise<void>;
}

/** What whoever fills a packed file knows at the end. */
export type PackedContent = Omit<PackedHeader, 'checksum'> & { readonly labels?: Int32Array };

/** Writes a packed file atomically; `fill` appends the images and then describes them. */
export async function writePacked(path: string, fill: (writer: PackedWriter) => Promise<PackedContent>): Promise<void> {
  await writeAtomically(path, async (file) => {
    let checksum = 0;
    const stream = bufferedWriter(file, preambleBytes);
    const append = async (bytes: Uint8Array): Promise<void> => {
      checksum = crc32(bytes, checksum);
      await stream.write(bytes);
    };
    const { labels, ...content } = await fill({ append });
    if (labels) await append(littleEndian(labels));
    const headerOffset = await stream.flush();
    const header = Buffer.from(JSON.stringify({ ...content, checksum } satisfies PackedHeader));
    await writeAll(file, header, headerOffset);
    await writeAll(file, preamble(header, headerOffset), 0);
  });
}

/**
 * Opens a packed file if it is whole and was made for `key`.
 *
 * @param memoryBytes pixels up to this size are loaded and checked against their checksum; larger ones stay in the
 * file, and of those only lengths and header are checked.
 * @returns `undefined` when the file is missing, foreign, cut short or damaged.
 */
export async function openPacked(path: string, key: string, memoryBytes: number): Promise<PackedImages | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return undefined;
  try {
    const found = await readHeader(file);
    if (found?.header.key !== key) return undefined;
    const { header, headerOffset } = found;
    const imageBytes = header.shape.reduce((product, side) => product * side, 1);
    const pixelBytes = header.count * imageBytes;
    const labelBytes = header.classNames ? header.count * 4 : 0;
    if (headerOffset !== preambleBytes + pixelBytes + labelBytes) return undefined;

    let checksum = 0;
    const addUp = (piece: Uint8Array): void => {
      checksum = crc32(piece, checksum);
    };
    const inMemory = pixelBytes <= memoryBytes;
    const loaded = inMemory ? await readRange(file, preambleBytes, pixelBytes, addUp) : undefined;
    const labelData = await readRange(file, preambleBytes + pixelBytes, labelBytes, addUp);
    if (inMemory && checksum !== header.checksum) return undefined;
    const labels = header.classNames ? fromLittleEndian(labelData) : undefined;
    const pixels = loaded ? memoryPixels(loaded, imageBytes) : await filePixels(path, preambleBytes, imageBytes);
    return { header, pixels, ...(labels && { labels }) };
  } catch {
    // Unreadable is as good as damaged: the caller builds the file again and hears what is wrong with the place.
    return undefined;
  } finally {
    await file.close();
  }
}

/** Reads bytes of a file; each piece is shown as it comes, small enough that hashing it does not hold up the event loop. */
export async function readRange(
  file: FileHandle,
  offset: number,
  bytes: number,
  onPiece?: (piece: Uint8Array) => void,
): Promise<Uint8Array> {
  const piece = 8 * 2 ** 20;
  const data = new Uint8Array(bytes);
  for (let done = 0; done < bytes; ) {
    const { bytesRead } = await file.read(data, done, Math.min(piece, bytes - done), offset + done);
    if (bytesRead === 0) throw new RangeError('the file ends early');
    onPiece?.(data.subarray(done, done + bytesRead));
    done += bytesRead;
  }
  return data;
}

function preamble(header: Uint8Array, headerOffset: number): Buffer {
  const bytes = Buffer.alloc(preambleBytes);
  magic.copy(bytes, 0);
  bytes.writeBigUInt64LE(BigInt(headerOffset), 8);
  bytes.writeUInt32LE(header.length, 16);
  createHash('sha256').update(header).digest().copy(bytes, 20);
  return bytes;
}

async function readHeader(file: FileHandle): Promise<{ header: PackedHeader; headerOffset: number } | undefined> {
  const { size } = await file.stat();
  if (size < preambleBytes) return undefined;
  const start = Buffer.from(await readRange(file, 0, preambleBytes));
  if (!start.subarray(0, magic.length).equals(magic)) return undefined;
  const headerOffset = Number(start.readBigUInt64LE(8));
  const headerBytes = start.readUInt32LE(16);
  if (headerOffset + headerBytes !== size) return undefined;
  const header = await readRange(file, headerOffset, headerBytes);
  if (!createHash('sha256').update(header).digest().equals(start.subarray(20, 52))) return undefined;
  return { header: JSON.parse(Buffer.from(header).toString()) as PackedHeader, headerOffset };
}

/** Collects small images into large writes: while files decode, every write waits for a thread. */
function bufferedWriter(
  file: FileHandle,
  start: number,
): { write(bytes: Uint8Array): Promise<void>; flush(): Promise<number> } {
  const buffer = new Uint8Array(4 * 2 ** 20);
  let filled = 0;
  let position = start;
  const flush = async (): Promise<number> => {
    await writeAll(file, buffer.subarray(0, filled), position);
    position += filled;
    filled = 0;
    return position;
  };
  return {
    async write(bytes) {
      if (filled + bytes.length > buffer.length) await flush();
      if (bytes.length > buffer.length) {
        await writeAll(file, bytes, position);
        position += bytes.length;
      } else {
        buffer.set(bytes, filled);
        filled += bytes.length;
      }
    },
    flush,
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function littleEndian(values: Int32Array): Uint8Array {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => void bytes.writeInt32LE(value, i * 4));
  return bytes;
}

function fromLittleEndian(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(i * 4, true));
}
