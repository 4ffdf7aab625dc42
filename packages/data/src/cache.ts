import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { temporaryEnding } from './atomic-file.ts';
import { openPacked, type PackedContent, type PackedImages, type PackedWriter, writePacked } from './packed-file.ts';

/** Raised whenever the same files would be decoded to other pixels than before. */
const decodingVersion = 1;

const ending = '.diffuse-data';

/**
 * Names a cache by everything that decides its pixels: the settings, and path and content of every file.
 *
 * @param files `identity` is the hash of the content.
 * @returns 64 hexadecimal digits.
 */
export function cacheKey(
  settings: Readonly<Record<string, unknown>>,
  files: Iterable<{ readonly path: string; readonly identity: string }>,
): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify({ decodingVersion, ...settings }));
  for (const { path, identity } of files) hash.update(`\n${identity} ${JSON.stringify(path)}`);
  return hash.digest('hex');
}

/** What {@link openOrBuild} found or made. */
export interface CachedImages extends PackedImages {
  readonly path: string;
  /** Whether the cache was there already and nothing was decoded. */
  readonly fromCache: boolean;
}

/**
 * Opens the cache for `key`, or builds it. Several processes may do this at once: each writes its own temporary file,
 * and the last to finish renames the same content over the others'.
 *
 * @throws DiffuseError `ERR_DATA` when the cache cannot be written.
 */
export async function openOrBuild(options: {
  readonly directory: string;
  readonly key: string;
  readonly memoryBytes: number;
  readonly build: (writer: PackedWriter) => Promise<Omit<PackedContent, 'key'>>;
}): Promise<CachedImages> {
  const { directory, key, memoryBytes, build } = options;
  const path = join(directory, `${key}${ending}`);
  const found = await openPacked(path, key, memoryBytes);
  if (found) return { ...found, path, fromCache: true };
  await removeForgotten(directory);
  try {
    await writePacked(path, async (writer) => ({ key, ...(await build(writer)) }));
  } catch (error) {
    if (error instanceof DiffuseError || !isSystemError(error)) throw error;
    throw new DiffuseError(
      'ERR_DATA',
      `cannot write the cache ${path}: ${error.message}; choose another place with cacheDirectory or DIFFUSE_CACHE`,
      { cause: error },
    );
  }
  const built = await openPacked(path, key, memoryBytes);
  if (!built)
    throw new DiffuseError('ERR_DATA', `the cache ${path} does not read back as it was written; check the disk`);
  return { ...built, path, fromCache: false };
}

const dayMs = 24 * 60 * 60 * 1000;

/** Removes what killed processes left behind: temporary files that nobody has written to for a day. */
async function removeForgotten(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (!name.includes(ending) || !name.endsWith(temporaryEnding)) continue;
    const path = join(directory, name);
    const written = await stat(path).catch(() => undefined);
    if (written && Date.now() - written.mtimeMs > dayMs) await rm(path, { force: true });
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
