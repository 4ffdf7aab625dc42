import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from './cancellation.ts';
import type { SkippedFile } from './settings.ts';

/** What lies in a folder and below. Paths are relative to it, with `/` between their parts. */
export interface FolderContent {
  /** Regular files, sorted by path. */
  readonly files: readonly string[];
  /** Entries that cannot be read as files or were reached twice. */
  readonly skipped: readonly SkippedFile[];
}

/** Order of UTF-16 code units: the same on every machine, whatever its locale. */
export function comparePaths(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Lists all files of a folder and its sub-folders, except hidden ones (their name starts with a dot). Links are
 * followed, but every folder is listed once: links into a circle end, and real folders come before links to them.
 */
export async function scanFolder(root: string, signal?: AbortSignal): Promise<FolderContent> {
  const files: string[] = [];
  const skipped: SkippedFile[] = [];
  const listed = new Set<string>();
  const folders = [''];
  const linkedFolders: string[] = [];

  const sortLink = async (path: string): Promise<void> => {
    const target = await stat(join(root, path)).catch(() => undefined);
    if (target?.isFile()) files.push(path);
    else if (target?.isDirectory()) linkedFolders.push(path);
    else skipped.push({ path, reason: target ? 'is no regular file' : 'is a link that leads nowhere' });
  };

  const list = async (folder: string): Promise<void> => {
    const real = await realpath(join(root, folder));
    if (listed.has(real)) {
      skipped.push({ path: folder, reason: 'is a link to a folder that is read already' });
      return;
    }
    listed.add(real);
    for (const entry of await readdir(real, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile()) files.push(path);
      else if (entry.isSymbolicLink()) await sortLink(path);
      else skipped.push({ path, reason: 'is no regular file' });
    }
  };

  for (;;) {
    throwIfCancelled(signal, `listing ${root}`);
    linkedFolders.sort(comparePaths);
    const folder = folders.pop() ?? linkedFolders.shift();
    if (folder === undefined) break;
    try {
      await list(folder);
    } catch (error) {
      if (folder === '') throw error;
      skipped.push({ path: folder, reason: `cannot be listed: ${(error as Error).message}` });
    }
  }
  return { files: files.sort(comparePaths), skipped };
}
