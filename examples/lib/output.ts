import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

const folder = join(import.meta.dirname, '../out');

/** Where an example writes a file of that name; makes the folder `examples/out`. */
export async function outPath(name: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  console.log(`writing ${relative(process.cwd(), path)}`);
  return path;
}

/** Writes a text, such as an SVG picture, to `examples/out`. */
export async function writeOut(name: string, text: string): Promise<void> {
  await writeFile(await outPath(name), text);
}
