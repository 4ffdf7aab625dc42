import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { saveImages } from '@diffuse/data';

/** What a command did. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** Starts a command as a process of its own. */
export function start(...args: string[]): ChildProcess {
  return startWith({}, ...args);
}

/** The same with further variables of the environment. */
export function startWith(env: Readonly<Record<string, string>>, ...args: string[]): ChildProcess {
  return spawn(process.execPath, ['--conditions=@diffuse/source', '--import', tsx, main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
}

/** Waits for the end of a process. */
export async function ended(child: ChildProcess): Promise<Outcome & { readonly signal: NodeJS.Signals | null }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? -1, signal, stdout, stderr }));
  });
}

/** Writes `count` grey 8 x 8 PNGs, each with a bar of another place and brightness. */
export async function tinyImages(folder: string, count = 24): Promise<string> {
  const data = new Uint8Array(count * 64);
  for (let image = 0; image < count; image++) {
    for (let pixel = 0; pixel < 64; pixel++) {
      data[image * 64 + pixel] = pixel % 8 === image % 8 ? 255 - image : (pixel >> 3) * 8 + image;
    }
  }
  await saveImages(folder, { data, shape: [count, 8, 8, 1] });
  return folder;
}

/** Writes MNIST's format: `count` images of 8 x 8 and their labels 0 … 2. */
export async function tinyIdx(folder: string, count = 24): Promise<{ images: string; labels: string }> {
  const images = join(folder, 'images.idx3-ubyte');
  const labels = join(folder, 'labels.idx1-ubyte');
  const header = (magic: number, ...sizes: number[]): Buffer => {
    const buffer = Buffer.alloc(4 * (sizes.length + 1));
    [magic, ...sizes].forEach((value, i) => {
      buffer.writeUInt32BE(value, 4 * i);
    });
    return buffer;
  };
  const pixels = Buffer.from(Array.from({ length: count * 64 }, (_, i) => (i * 7 + (i >> 6) * 31) % 256));
  await writeFile(images, Buffer.concat([header(0x803, count, 8, 8), pixels]));
  await writeFile(
    labels,
    Buffer.concat([header(0x801, count), Buffer.from(Array.from({ length: count }, (_, i) => i % 3))]),
  );
  return { images, labels };
}

/** Flags of a model that trains in milliseconds. */
export const tinyModel: readonly string[] = [
  '--model-channels=8,16',
  '--layers=1',
  '--attention=4',
  '--batch-size=4',
  '--lr=0.002',
  '--warmup=2',
  '--preview-every=0',
];

/** Every file below a folder: relative path to content. */
export async function contentOf(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const pairs = await Promise.all(files.map(async (path) => [relative(folder, path), await readFile(path)] as const));
  return new Map(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Content of a run that must not depend on how it was interrupted. The configuration holds what may change: threads, say. */
export async function resultOf(folder: string): Promise<Record<string, string>> {
  const files = [...(await contentOf(folder))].filter(([path]) => path !== 'config.yaml');
  return Object.fromEntries(files.map(([path, data]) => [path, createHash('sha256').update(data).digest('hex')]));
}

/** Width and height of a PNG, from its header. */
export async function pngSize(path: string): Promise<[width: number, height: number]> {
  const file = await readFile(path);
  return [file.readUInt32BE(16), file.readUInt32BE(20)];
}

/** The lines of JSON in a text. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
