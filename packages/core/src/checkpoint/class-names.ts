import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiffuseError } from '../native/errors.ts';
import { writeFileAtomic } from './atomic-file.ts';

const CLASSES_NAME = 'classes.json';

/** Writes the names of the classes of a run. @throws `ERR_CHECKPOINT` when the system refuses. */
export async function writeClassNames(directory: string, names: readonly string[]): Promise<void> {
  await writeFileAtomic(join(directory, CLASSES_NAME), `${JSON.stringify(names, undefined, 2)}\n`);
}

/** The names of the classes of a run; undefined where it has none. @throws `ERR_CHECKPOINT` for another kind of file. */
export async function readClassNames(directory: string): Promise<readonly string[] | undefined> {
  const path = join(directory, CLASSES_NAME);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return undefined; // only runs of conditional models have the file
  }
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  } catch {
    // reported below
  }
  throw new DiffuseError('ERR_CHECKPOINT', `${path}: expected a JSON list of class names`);
}
