import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Ending of the files that {@link writeAtomically} writes before they get their name. */
export const temporaryEnding = '.tmp';

/**
 * Writes a file so that nobody ever sees half of it: under a hidden temporary name in the same folder, flushed to the
 * disk, then renamed. Missing folders are made. When `write` fails, the temporary file is removed and an older file
 * stays as it was.
 */
export async function writeAtomically(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const unique = `${process.pid}-${randomBytes(6).toString('hex')}`;
  const temporary = join(folder, `.${basename(path)}.${unique}${temporaryEnding}`);
  try {
    const file = await open(temporary, 'wx');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/** Makes the rename itself durable. Systems that cannot flush a folder (Windows) do without. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
