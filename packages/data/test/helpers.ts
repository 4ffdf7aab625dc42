import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterAll } from 'vitest';
import type { ImageDataset, OpenProgress } from '../src/index.ts';

/** A new folder that is removed after the tests of the file. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'diffuse-data-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes files into a folder: name to content. */
export async function writeFiles(folder: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

/** Bytes that differ in every row, column and channel. */
export function pattern(height: number, width: number, channels: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length: height * width * channels }, (_, i) => (seed * 31 + i * 37 + (i >> 5) * 11) % 256);
}

/** Sharp over raw samples; grey stays grey. */
export function rawSharp(
  data: Uint8Array | Uint16Array,
  height: number,
  width: number,
  channels: 1 | 2 | 3 | 4,
): Sharp {
  const image = sharp(data, { raw: { height, width, channels } });
  const colourspaces = data instanceof Uint16Array ? (['grey16', 'rgb16'] as const) : (['b-w', 'srgb'] as const);
  return image.toColourspace(colourspaces[channels <= 2 ? 0 : 1]);
}

/** A PNG of a pattern or of given samples. */
export function png(
  height: number,
  width: number,
  channels: 1 | 2 | 3 | 4,
  data: Uint8Array | Uint16Array = pattern(height, width, channels),
): Promise<Buffer> {
  return rawSharp(data, height, width, channels).png().toBuffer();
}

/** An uncompressed 16-bit TIFF, which sharp itself does not write. */
export function tiff16(height: number, width: number, channels: 1 | 3, samples: Uint16Array): Buffer {
  const bytes = samples.length * 2;
  const bitsOffset = 8 + bytes;
  const directoryOffset = bitsOffset + 2 * channels;
  const short = 3;
  const long = 4;
  const tags: readonly (readonly [tag: number, type: number, count: number, value: number])[] = [
    [256, long, 1, width],
    [257, long, 1, height],
    [258, short, channels, channels === 1 ? 16 : bitsOffset],
    [259, short, 1, 1],
    [262, short, 1, channels === 1 ? 1 : 2],
    [273, long, 1, 8],
    [277, short, 1, channels],
    [278, long, 1, height],
    [279, long, 1, bytes],
  ];
  const file = Buffer.alloc(directoryOffset + 2 + tags.length * 12 + 4);
  file.write('II*\0', 'latin1');
  file.writeUInt32LE(directoryOffset, 4);
  samples.forEach((sample, i) => void file.writeUInt16LE(sample, 8 + 2 * i));
  for (let i = 0; i < channels; i++) file.writeUInt16LE(16, bitsOffset + 2 * i);
  file.writeUInt16LE(tags.length, directoryOffset);
  tags.forEach(([tag, type, count, value], i) => {
    const at = directoryOffset + 2 + i * 12;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(count, at + 4);
    file.writeUInt32LE(value, at + 8);
  });
  return file;
}

/** All images of a data set, one array each. */
export async function readAll(data: ImageDataset): Promise<Uint8Array[]> {
  const bytes = data.shape[0] * data.shape[1] * data.shape[2];
  const target = new Uint8Array(data.count * bytes);
  await data.read(
    Int32Array.from({ length: data.count }, (_, i) => i),
    target,
  );
  return Array.from({ length: data.count }, (_, i) => target.slice(i * bytes, (i + 1) * bytes));
}

/** Collects progress by phase. */
export function progressLog(): {
  events: OpenProgress[];
  onProgress: (progress: OpenProgress) => void;
  phases: () => string[];
} {
  const events: OpenProgress[] = [];
  return {
    events,
    onProgress: (progress) => void events.push(progress),
    phases: () => [...new Set(events.map(({ phase }) => phase))],
  };
}

/** Names in a folder, hidden ones too; none when it is missing. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Root mean square difference of bytes. */
export function rmsDifference(a: Uint8Array, b: Uint8Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - (b[i] as number)) ** 2, 0) / a.length);
}
