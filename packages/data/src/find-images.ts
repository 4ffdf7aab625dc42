import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { extname, join } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { throwIfCancelled } from './cancellation.ts';
import { imageKind, imageKinds } from './file-kind.ts';
import { hashFile } from './hash-file.ts';
import { mapOrdered } from './ordered-map.ts';
import { scanFolder } from './scan-folder.ts';
import type { OpenProgress, SkippedFile } from './settings.ts';

/** A file that looks like an image by its first bytes. */
export interface CandidateFile {
  /** Relative to the folder, with `/` between its parts. */
  readonly path: string;
  /** Hash of the content. */
  readonly identity: string;
  /** What was hashed, of small folders: so they are read once. */
  readonly content?: Uint8Array;
}

/** Content that is kept of all files together. */
const keptBytes = 64 * 2 ** 20;

/** Files in flight at once: enough to keep all cores and the disk busy, few enough to bound the memory. */
export const filesAtOnce: number = Math.max(4, 2 * availableParallelism());

/** What was found in a folder. */
export interface FoundImages {
  /** Sorted by path. */
  readonly files: readonly CandidateFile[];
  readonly skipped: readonly SkippedFile[];
}

/**
 * Finds and hashes the images of a folder. Nothing is decoded: the first bytes tell what is an image.
 *
 * @throws DiffuseError `ERR_DATA` when `root` is no folder that can be listed.
 */
export async function findImages(
  root: string,
  options: {
    /** Leave out images that lie in no sub-folder. */
    readonly perClass: boolean;
    readonly signal: AbortSignal | undefined;
    readonly onProgress: ((progress: OpenProgress) => void) | undefined;
  },
): Promise<FoundImages> {
  const { perClass, signal, onProgress } = options;
  await requireFolder(root);
  const content = await scanFolder(root, signal).catch((error: unknown) => {
    if (error instanceof DiffuseError) throw error;
    throw new DiffuseError('ERR_DATA', `cannot list ${root}: ${(error as Error).message}`, { cause: error });
  });
  const files: CandidateFile[] = [];
  const skipped = [...content.skipped];
  let kept = 0;
  const examine = async (path: string): Promise<CandidateFile | SkippedFile> => {
    throwIfCancelled(signal, `reading ${root}`);
    if (perClass && !path.includes('/')) return { path, reason: 'lies in no class folder' };
    const file = await examineFile(root, path);
    if ('reason' in file || !file.content) return file;
    if (kept + file.content.length > keptBytes) return { path, identity: file.identity };
    kept += file.content.length;
    return file;
  };
  for await (const file of mapOrdered(content.files, filesAtOnce, examine)) {
    if ('reason' in file) skipped.push(file);
    else files.push(file);
    const done = files.length + skipped.length - content.skipped.length;
    onProgress?.({ phase: 'hash', done, total: content.files.length, skipped: skipped.length });
  }
  return { files, skipped };
}

async function examineFile(root: string, path: string): Promise<CandidateFile | SkippedFile> {
  let isEmpty = false;
  try {
    const hashed = await hashFile(join(root, path), (head) => {
      isEmpty = head.length === 0;
      return imageKind(head) !== undefined;
    });
    if (!hashed) return { path, reason: whyForeign(path, isEmpty) };
    const { hash: identity, content } = hashed;
    return { path, identity, ...(content && { content }) };
  } catch (error) {
    return { path, reason: `cannot be read: ${(error as Error).message}` };
  }
}

const imageEndings = /^\.(png|jpe?g|jpe|jfif|webp|avif|heic|heif|tiff?|gif|svg)$/i;

function whyForeign(path: string, isEmpty: boolean): string {
  if (isEmpty) return 'is empty';
  const ending = extname(path);
  return imageEndings.test(ending) ? `is called ${ending} but holds no image` : `is no image (${imageKinds} are read)`;
}

async function requireFolder(root: string): Promise<void> {
  const found: Stats | undefined = await stat(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw new DiffuseError('ERR_DATA', `cannot read ${root}: ${error.message}`, { cause: error });
  });
  if (!found) throw new DiffuseError('ERR_DATA', `there is no folder ${root}`);
  if (!found.isDirectory()) throw new DiffuseError('ERR_DATA', `${root} is a file; a folder of images was expected`);
}
