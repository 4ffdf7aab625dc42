import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DiffuseError } from '@diffuse/core';

const run = promisify(execFile);

/** The checkout that this package is part of. */
export const repositoryRoot: string = fileURLToPath(new URL('../../../', import.meta.url)).replace(/[/\\]$/, '');

/** The commit that is checked out, with `-dirty` when files differ from it; `unknown` outside a repository. */
export async function currentCommit(): Promise<string> {
  try {
    const { stdout } = await run('git', ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'], {
      cwd: repositoryRoot,
    });
    return stdout.trim();
  } catch {
    return 'unknown';
  }
}

let building: Promise<void> | undefined;

/** Compiles the packages to `dist`, so that what users start is what is timed. @throws `ERR_DATA` when nothing came of it. */
export function buildPackages(): Promise<void> {
  building ??= compilePackages();
  return building;
}

async function compilePackages(): Promise<void> {
  const compiler = join(repositoryRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  const folders = ['packages/cli', 'packages/bench'];
  try {
    await run(process.execPath, [compiler, '-b', ...folders], { cwd: repositoryRoot });
    await run(process.execPath, ['scripts/bundle-core.mjs'], { cwd: repositoryRoot });
  } catch (error) {
    const { stdout = '', message } = error as Error & { stdout?: string };
    throw new DiffuseError('ERR_DATA', `the packages do not compile: ${stdout.split('\n')[0] || message}`);
  }
}

/** A compiled file of a package. @throws `ERR_DATA` when it is not there. */
export async function compiledFile(path: string): Promise<string> {
  await buildPackages();
  const file = join(repositoryRoot, path);
  if (!existsSync(file)) throw new DiffuseError('ERR_DATA', `${file} was not built; run pnpm build`);
  return file;
}
