import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { DiffuseError, type ErrorCode } from '../../src/native/errors.ts';

/** A path below the folder of stored reference files. */
export function golden(...parts: string[]): string {
  return join(fileURLToPath(new URL('../../../../golden', import.meta.url)), ...parts);
}

/** A new folder, removed after the tests of the file. */
export async function scratchFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'diffuse-checkpoint-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Every file below a folder: relative path to content. */
export async function contentOf(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = paths.sort().map(async (path) => [relative(folder, path), await readFile(path)] as const);
  return new Map(await Promise.all(files));
}

/** Expects a DiffuseError of this code, on one line, that matches every pattern. */
export function expectDiffuseError(error: unknown, code: ErrorCode, ...patterns: (RegExp | string)[]): void {
  expect(error).toBeInstanceOf(DiffuseError);
  const { code: actual, message } = error as DiffuseError;
  expect({ code: actual, message }).toEqual({ code, message: expect.any(String) });
  expect(message).not.toMatch(/\n/);
  for (const pattern of patterns) expect(message).toMatch(pattern);
}

/** What a function throws or a promise is rejected with. */
export async function failureOf(run: () => unknown): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** A generator of numbers in [0, 1) from a seed (mulberry32), so that random tests fail the same way every time. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
