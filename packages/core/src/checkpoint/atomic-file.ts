import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileOperation } from './file-errors.ts';

/** One `write` call hands the operating system at most this much, below the 2 GiB that one call may take. */
const WRITE_BYTES = 64 * 2 ** 20;

/** `.<name>.<pid>.<n>.partial` */
const PARTIAL_NAME = /^\..+\.([1-9]\d{0,9})\.\d+\.partial$/;

let counter = 0;

/** A file that is being written under a temporary name. */
export interface AtomicFile {
  /**
   * Appends the bytes of a view. The caller leaves them unchanged until the promise settles.
   *
   * @throws DiffuseError `ERR_CHECKPOINT` when the system refuses (disk full, file size limit …).
   */
  write(data: ArrayBufferView): Promise<void>;
}

/**
 * Writes a file so that its name always shows either the old or the new content, whole, even when the process is killed
 * or the machine loses power: the content goes to `.<name>.<pid>.<n>.partial` in the same directory, is fsynced and
 * renamed, and then the directory is fsynced. When `write` throws, the temporary file is removed, the old file stays as
 * it was, and the error passes on. Temporary files that killed processes left in the directory are removed on the way.
 *
 * @param path file to create or replace; its directory must exist.
 * @param write receives the open temporary file and appends the content.
 * @returns what `write` returned.
 * @throws DiffuseError `ERR_CHECKPOINT` naming `path` when the system refuses an operation.
 */
export async function withAtomicFile<T>(path: string, write: (file: AtomicFile) => Promise<T>): Promise<T> {
  const directory = dirname(path);
  await removeLeftovers(directory);
  const { handle, temporary } = await createTemporary(path);
  try {
    let result: T;
    try {
      result = await write({ write: (data) => append(handle, path, data) });
      await fileOperation('write', path, () => handle.sync());
    } finally {
      await handle.close();
    }
    await fileOperation('write', path, () => rename(temporary, path));
    await fileOperation('write', path, () => syncDirectory(directory));
    return result;
  } catch (error) {
    // The first error is the one to report; a temporary file that cannot be removed is left to a later write.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/**
 * Writes a whole file under the guarantees of {@link withAtomicFile}.
 *
 * @param path file to create or replace; its directory must exist.
 * @param data its content; text is written as UTF-8.
 * @throws DiffuseError `ERR_CHECKPOINT` naming `path` when the system refuses an operation.
 */
export async function writeFileAtomic(path: string, data: string | ArrayBufferView): Promise<void> {
  await withAtomicFile(path, (file) => file.write(typeof data === 'string' ? new TextEncoder().encode(data) : data));
}

async function createTemporary(path: string): Promise<{ handle: FileHandle; temporary: string }> {
  for (;;) {
    counter += 1;
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${counter}.partial`);
    try {
      return { handle: await open(temporary, 'wx'), temporary };
    } catch (error) {
      // Another thread of this process counts for itself, and an earlier process may have had this pid: next number.
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      return fileOperation('write', path, () => Promise.reject(error));
    }
  }
}

async function append(handle: FileHandle, path: string, data: ArrayBufferView): Promise<void> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let offset = 0; offset < bytes.length; ) {
    const length = Math.min(WRITE_BYTES, bytes.length - offset);
    const { bytesWritten } = await fileOperation('write', path, () => handle.write(bytes, offset, length));
    offset += bytesWritten;
  }
}

/** Makes the rename itself durable. Windows can not fsync a directory, and its rename is journalled. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes temporary files whose writer is gone. A help, not a duty: what cannot be removed does not stop the write. */
async function removeLeftovers(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const pid = PARTIAL_NAME.exec(name)?.[1];
    if (pid === undefined) continue;
    const leftover = join(directory, name);
    if (await isAbandoned(leftover, Number(pid))) await rm(leftover, { force: true }).catch(() => undefined);
  }
}

async function isAbandoned(path: string, pid: number): Promise<boolean> {
  if (pid !== process.pid) return !isRunning(pid);
  // Processes in containers get the same pid again and again: what is older than this process is not this process's.
  const startMs = Date.now() - process.uptime() * 1000;
  const clockSlackMs = 1000;
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
  return mtimeMs < startMs - clockSlackMs;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
