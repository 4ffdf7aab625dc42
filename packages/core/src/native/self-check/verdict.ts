import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The folder for caches: that of `DIFFUSE_CACHE`, else the user's. */
export function userCacheDirectory(): string {
  const { DIFFUSE_CACHE, XDG_CACHE_HOME } = process.env;
  return DIFFUSE_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'diffuse');
}

/** Whether a self-check with this key has passed before, on this user's account. */
export function hasPassed(key: readonly string[]): boolean {
  return existsSync(verdictPath(key));
}

/** Remembers that a self-check has passed. A folder that cannot be written only means that it will be run again. */
export function rememberPass(key: readonly string[]): void {
  const path = verdictPath(key);
  try {
    mkdirSync(join(userCacheDirectory(), 'self-check'), { recursive: true });
    writeFileSync(`${path}.${process.pid}`, `${JSON.stringify(key)}\n`);
    renameSync(`${path}.${process.pid}`, path);
  } catch {
    // Read-only homes are common where programs run in containers.
  }
}

function verdictPath(key: readonly string[]): string {
  const name = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 32);
  return join(userCacheDirectory(), 'self-check', `${name}.json`);
}
