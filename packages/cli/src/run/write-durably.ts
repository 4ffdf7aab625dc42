import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf, runFailure } from '../failure.ts';

/**
 * Replaces a file as a whole: whenever the process is killed, its name shows the old content or the new.
 *
 * @throws Failure naming the file when the system refuses.
 */
export async function writeDurably(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${process.pid}.partial`);
  try {
    await mkdir(directory, { recursive: true });
    await withHandle(await open(temporary, 'w'), async (handle) => {
      await handle.writeFile(text);
      await handle.sync();
    });
    await rename(temporary, path);
    await syncDirectory(directory);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw runFailure(new Error(`cannot write ${path}: ${messageOf(error)}`, { cause: error }));
  }
}

/** Makes new names in a directory durable. Windows can not fsync a directory, and its renames are journalled. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  await withHandle(await open(directory, 'r'), (handle) => handle.sync());
}

async function withHandle(handle: FileHandle, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}
