import { readFile, stat } from 'node:fs/promises';
import { DiffuseError } from '../native/errors.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { fileOperation } from './file-errors.ts';

/** A configuration is a page of text; a file of another size is another kind of file. */
const MAX_JSON_BYTES = 2 ** 20;

/** A value that Python writes although JSON has no such numbers. */
const PYTHON_NUMBERS = /(:\s*)-?(?:Infinity|NaN)(?=\s*[,}])/g;

/**
 * Reads a configuration. Infinity and NaN, which Python writes, become null.
 *
 * @throws `ERR_CHECKPOINT` when the system refuses, or the file is too large or no JSON.
 */
export async function readJson(path: string, maxBytes: number = MAX_JSON_BYTES): Promise<unknown> {
  const { size } = await fileOperation('open', path, () => stat(path));
  if (size > maxBytes) {
    throw new DiffuseError('ERR_CHECKPOINT', `${path} has ${size} bytes; expected a JSON file below ${maxBytes}`);
  }
  const text = await fileOperation('read', path, () => readFile(path, 'utf8'));
  try {
    return parse(text);
  } catch (cause) {
    throw new DiffuseError('ERR_CHECKPOINT', `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const plain = text.replaceAll(PYTHON_NUMBERS, '$1null');
    if (plain === text) throw error;
    return JSON.parse(plain);
  }
}

/** Writes a configuration, whole or not at all. @throws `ERR_CHECKPOINT` when the system refuses. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, undefined, 2)}\n`);
}
