/**
 * Run by atomic-file.test.ts in a process of its own: writes version 1, 2, 3 … of a file until it is killed, has written
 * the number of versions asked for, or fails. Each version holds eight tensors filled with its number.
 *
 * Arguments: path, number of versions. Prints a line when a version is complete, or the error.
 */
import { writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import type { DiffuseError } from '../../src/native/errors.ts';

const [path = '', versions = ''] = process.argv.slice(2);
const elements = 2 ** 16;

try {
  for (let version = 1; version <= Number(versions); version += 1) {
    const tensors = Array.from({ length: 8 }, (_, i) => ({
      name: `t${i}`,
      dtype: 'F32' as const,
      shape: [elements],
      data: () => new Float32Array(elements).fill(version),
    }));
    await writeSafetensors(path, tensors, { version: String(version) });
    console.log(`version ${version}`);
  }
} catch (error) {
  const { code, message } = error as DiffuseError;
  console.log(code, message);
}
