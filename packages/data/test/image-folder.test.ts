import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { describe, expect, it } from 'vitest';
import { type ImageFolderOptions, imageFolder } from '../src/index.ts';
import { namesIn, png, progressLog, rawSharp, readAll, temporaryFolder, writeFiles } from './helpers.ts';

const folder = await temporaryFolder();
const cacheDirectory = join(folder, 'cache');
let folders = 0;

async function folderOf(files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const root = join(folder, String(folders++));
  await mkdir(root);
  await writeFiles(root, files);
  return root;
}

const open = (root: string, options: ImageFolderOptions = {}) => imageFolder(root, { cacheDirectory, ...options });

/** The error of opening, which must be one of ours and a single line. */
async function failure(root: string, options: ImageFolderOptions = {}): Promise<DiffuseError> {
  const error = await open(root, options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DiffuseError);
  expect((error as DiffuseError).message).not.toContain('\n');
  return error as DiffuseError;
}

const grey = (value: number): Promise<Buffer> => png(4, 4, 1, new Uint8Array(16).fill(value));
const colour = (value: number): Promise<Buffer> => png(4, 4, 3, new Uint8Array(48).fill(value));
const firstPixels = async (root: string, options?: ImageFolderOptions): Promise<(number | undefined)[]> =>
  (await readAll(await open(root, options))).map((image) => image[0]);

describe('what is found', () => {
  it('lists nested folders by path, whatever the locale', async () => {
    const root = await folderOf({
      'b.png': await grey(1),
      'B.png': await grey(2),
      'a/z.png': await grey(3),
      'a/ä.png': await grey(4),
      'a-b/c.png': await grey(5),
      '10.png': await grey(6),
      '9.png': await grey(7),
      'a/deep/er/x.png': await grey(8),
    });
    const order = ['10.png', '9.png', 'B.png', 'a-b/c.png', 'a/deep/er/x.png', 'a/z.png', 'a/ä.png', 'b.png'];
    expect([...order].sort()).toEqual(order);
    expect(await firstPixels(root)).toEqual([6, 7, 2, 5, 8, 3, 4, 1]);
  });

  it('passes over hidden files and folders', async () => {
    const root = await folderOf({ 'a.png': await grey(1), '.b.png': await grey(2), '.git/c.png': await grey(3) });
    const data = await open(root);
    expect(data).toMatchObject({ count: 1, skipped: [] });
  });

  it('goes by content, not by name', async () => {
    const root = await folderOf({ 'a.jpg': await grey(1), 'b.dat': await grey(2), c: await grey(3) });
    expect(await firstPixels(root)).toEqual([1, 2, 3]);
  });

  it('names the data set after its folder', async () => {
    const root = await folderOf({ 'photos/a.png': await grey(1) });
    expect((await open(join(root, 'photos/'))).name).toBe('photos');
  });

  it('ends on circles of links and takes real folders before links to them', async () => {
    const root = await folderOf({ 'real/a.png': await grey(1), 'z/b.png': await grey(2) });
    await symlink('..', join(root, 'real', 'up'));
    await symlink('real', join(root, 'alias'));
    await symlink('nowhere', join(root, 'broken.png'));
    await symlink('z/b.png', join(root, 'copy.png'));
    const data = await open(root);
    expect(await firstPixels(root)).toEqual([2, 1, 2]);
    expect(data.skipped).toEqual([
      { path: 'alias', reason: 'is a link to a folder that is read already' },
      { path: 'broken.png', reason: 'is a link that leads nowhere' },
      { path: 'real/up', reason: 'is a link to a folder that is read already' },
    ]);
  });

  it('follows a link to a folder elsewhere', async () => {
    const elsewhere = await folderOf({ 'a.png': await grey(9) });
    const root = await folderOf({});
    await symlink(elsewhere, join(root, 'linked'));
    expect(await firstPixels(root)).toEqual([9]);
  });

  it.skipIf(process.platform === 'win32')('does not wait on a pipe', async () => {
    const root = await folderOf({ 'a.png': await grey(1) });
    execFileSync('mkfifo', [join(root, 'pipe.png')]);
    expect((await open(root)).skipped).toEqual([{ path: 'pipe.png', reason: 'is no regular file' }]);
  });
});

describe('files that cannot be used', () => {
  const damaged = async (): Promise<Record<string, Uint8Array | string>> => {
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i * 7) % 256);
    const sound = rawSharp(noise, 64, 64, 3);
    const jpeg = await sound.clone().jpeg().toBuffer();
    const whole = await sound.clone().png().toBuffer();
    const flipped = Buffer.from(whole);
    flipped.fill(0x5a, whole.length >> 1, (whole.length >> 1) + 40);
    return {
      'cut.jpg': jpeg.subarray(0, jpeg.length >> 1),
      'cut.png': whole.subarray(0, whole.length >> 1),
      'cut.webp': (await sound.clone().webp().toBuffer()).subarray(0, 200),
      'cut.gif': (await sound.clone().gif().toBuffer()).subarray(0, 900),
      'cut.tif': (await sound.clone().tiff().toBuffer()).subarray(0, 500),
      'cut.avif': (await sound.clone().avif().toBuffer()).subarray(0, 300),
      'empty.png': '',
      'flipped.png': flipped,
      'good.png': whole,
      'notes.txt': 'these are notes',
      'text.png': 'this is text',
    };
  };

  it('are named, counted and left out', async () => {
    const root = await folderOf(await damaged());
    const log = progressLog();
    const data = await open(root, { resolution: 32, onProgress: log.onProgress });
    expect(data.count).toBe(1);
    const reasons = Object.fromEntries(data.skipped.map(({ path, reason }) => [path, reason]));
    expect(Object.keys(reasons)).toEqual(
      Object.keys(await damaged())
        .filter((name) => name !== 'good.png')
        .sort(),
    );
    expect(reasons['empty.png']).toBe('is empty');
    expect(reasons['text.png']).toBe('is called .png but holds no image');
    expect(reasons['notes.txt']).toMatch(/^is no image \(PNG, JPEG/);
    for (const name of ['cut.jpg', 'cut.png', 'cut.webp', 'cut.gif', 'cut.tif', 'cut.avif', 'flipped.png']) {
      expect(reasons[name]).toMatch(/^is damaged or cannot be decoded: ./);
    }
    expect(log.events.at(-1)?.skipped).toBe(10);
  });

  it('are named again when the cache is used', async () => {
    const root = await folderOf(await damaged());
    const first = await open(root, { resolution: 32 });
    const second = await open(root, { resolution: 32 });
    expect(second.statistics.fromCache).toBe(true);
    expect(second.skipped).toEqual(first.skipped);
  });

  it('fail a strict run: foreign, damaged, damaged and cached', async () => {
    const foreign = await folderOf({ 'a.png': await grey(1), 'n.txt': 'notes' });
    expect(await failure(foreign, { strict: true })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/n\.txt is no image/),
    });
    const { 'good.png': good, 'cut.png': cut } = await damaged();
    const root = await folderOf({ 'good.png': good as Uint8Array, 'cut.png': cut as Uint8Array });
    const named = /cut\.png is damaged or cannot be decoded/;
    expect(await failure(root, { strict: true, resolution: 8, channels: 3 })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(named),
    });
    await open(root, { resolution: 8, channels: 3 });
    expect((await failure(root, { strict: true, resolution: 8, channels: 3 })).message).toMatch(named);
  });

  it('does not object to sound folders when strict', async () => {
    const root = await folderOf({ 'a.png': await grey(1), '.hidden': 'x' });
    expect((await open(root, { strict: true })).count).toBe(1);
  });

  // The memory of a process cannot be read from its start, whoever asks.
  it.skipIf(!existsSync('/proc/self/mem'))('names what cannot be read', async () => {
    const root = await folderOf({ 'a.png': await grey(1) });
    await symlink('/proc/self/mem', join(root, 'b.png'));
    expect((await open(root)).skipped).toEqual([
      { path: 'b.png', reason: expect.stringMatching(/^cannot be read: E/) },
    ]);
  });
});

describe('clear errors', () => {
  it('missing folder, file instead of a folder', async () => {
    const root = await folderOf({ 'a.png': await grey(1) });
    expect((await failure(join(root, 'none'))).message).toMatch(/there is no folder .*none$/);
    expect((await failure(join(root, 'a.png'))).message).toMatch(/a\.png is a file; a folder of images was expected/);
    expect((await failure(join(root, 'a.png', 'b'))).message).toMatch(/there is no folder/);
  });

  it('empty folder, only foreign files, only damaged files', async () => {
    expect((await failure(await folderOf({}))).message).toMatch(/holds no files/);
    expect((await failure(await folderOf({ 'a.txt': 'a', 'b.txt': 'b' }))).message).toMatch(
      /holds no image that can be used; 2 left out, for instance a\.txt: is no image/,
    );
    const cut = (await colour(3)).subarray(0, 60);
    for (const options of [{}, { resolution: 8, channels: 3 }] as const) {
      expect((await failure(await folderOf({ 'a.png': cut }), options)).message).toMatch(
        /none of the 1 image files in .* can be decoded; a\.png: is damaged/,
      );
    }
  });

  it('mixed channels name examples, unless channels are given', async () => {
    const root = await folderOf({
      'a.png': await grey(10),
      'b.png': await colour(20),
      'c.png': await colour(30),
      'd.png': await colour(40),
    });
    expect(await failure(root)).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(
        /mixes grey and colour images \(grey: a\.png; colour: b\.png, c\.png … 3 in all\); set channels to 1, 3 or 4/,
      ),
    });
    expect(await firstPixels(root, { channels: 1 })).toEqual([10, 20, 30, 40]);
    expect(await firstPixels(root, { channels: 3 })).toEqual([10, 20, 30, 40]);
    expect((await open(root, { channels: 4 })).shape).toEqual([4, 4, 4]);
  });

  it('mixed sizes name examples, unless a resolution is given', async () => {
    const root = await folderOf({ 'a.png': await png(4, 6, 3), 'b.png': await png(8, 8, 3) });
    expect((await failure(root)).message).toMatch(
      /mixes images of different sizes \(4 x 6: a\.png; 8 x 8: b\.png\); set resolution to resize them/,
    );
    expect((await open(root, { resolution: 4 })).shape).toEqual([4, 4, 3]);
  });

  it.each([0, -4, 1.5, Number.NaN, 100_000, [8], { height: 8, width: 0 }, '8', null])(
    'resolution %j',
    async (resolution) => {
      const root = await folderOf({ 'a.png': await grey(1) });
      const error = await failure(root, { resolution: resolution as number });
      expect(error.code).toBe('ERR_ARGUMENT');
      expect(error.message).toMatch(/^resolution must be a whole number of pixels from 1 to 16384/);
    },
  );

  it('channels, classes, memoryBytes', async () => {
    const root = await folderOf({ 'a.png': await grey(1) });
    expect((await failure(root, { channels: 2 as 1 })).message).toMatch(/^channels must be 1 .* got 2/);
    expect((await failure(root, { classes: 'labels' as 'none' })).message).toMatch(
      /^classes must be 'none' or 'folders'/,
    );
    expect((await failure(root, { memoryBytes: -1 })).message).toMatch(/^memoryBytes must be/);
  });
});

describe('classes', () => {
  it('are the sub-folders, sorted', async () => {
    const root = await folderOf({
      'dog/a.png': await grey(1),
      'cat/b.png': await grey(2),
      'cat/sub/c.png': await grey(3),
      'ant/readme.txt': 'no image',
      'loose.png': await grey(4),
    });
    const data = await open(root, { classes: 'folders' });
    expect(data.classNames).toEqual(['cat', 'dog']);
    expect(data.labels).toEqual(Int32Array.of(0, 0, 1));
    expect(data.skipped.map(({ path }) => path)).toEqual(['ant/readme.txt', 'loose.png']);
    const again = await open(root, { classes: 'folders' });
    expect(again).toMatchObject({ classNames: data.classNames, labels: data.labels, statistics: { fromCache: true } });
  });

  it('need sub-folders', async () => {
    const root = await folderOf({ 'a.png': await grey(1) });
    expect((await failure(root, { classes: 'folders' })).message).toMatch(/a\.png: lies in no class folder/);
  });

  it('are absent by default', async () => {
    const data = await open(await folderOf({ 'x/a.png': await grey(1) }));
    expect(data).not.toHaveProperty('labels');
    expect(data).not.toHaveProperty('classNames');
  });
});

describe('read', () => {
  it('copies in the order of the indices, repeats included', async () => {
    const root = await folderOf({ 'a.png': await grey(1), 'b.png': await grey(2), 'c.png': await grey(3) });
    for (const memoryBytes of [2 ** 20, 0]) {
      const data = await open(root, { memoryBytes });
      const target = new Uint8Array(5 * 16);
      await data.read(Int32Array.of(2, 0, 1, 1, 2), target);
      expect([...target].filter((_, i) => i % 16 === 5)).toEqual([3, 1, 2, 2, 3]);
      data.close();
    }
  });

  it('refuses indices and targets that do not fit', async () => {
    using data = await open(await folderOf({ 'a.png': await grey(1) }));
    await expect(data.read(Int32Array.of(1), new Uint8Array(16))).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    await expect(data.read(Int32Array.of(-1), new Uint8Array(16))).rejects.toThrow(
      /indices must be from 0 to 0; got -1/,
    );
    await expect(data.read(Int32Array.of(0), new Uint8Array(15))).rejects.toMatchObject({ code: 'ERR_SHAPE' });
    await expect(data.read(new Int32Array(), new Uint8Array())).resolves.toBeUndefined();
  });

  it('ends with close, after the reads under way', async () => {
    const root = await folderOf({ 'a.png': await grey(1), 'b.png': await grey(2) });
    for (const memoryBytes of [2 ** 20, 0]) {
      const data = await open(root, { memoryBytes });
      const target = new Uint8Array(32);
      const underWay = data.read(Int32Array.of(1, 0), target);
      data.close();
      data.close();
      await underWay;
      expect([target[0], target[16]]).toEqual([2, 1]);
      await expect(data.read(Int32Array.of(0), new Uint8Array(16))).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    }
  });
});

describe('cancelling', () => {
  it('stops in every phase and leaves nothing behind', async () => {
    const files: Record<string, Uint8Array> = {};
    for (let i = 0; i < 60; i++) files[`${i}.png`] = await colour(i);
    const root = await folderOf(files);
    for (const phase of ['hash', 'inspect', 'decode'] as const) {
      const cache = join(folder, `cancel-${phase}`);
      const controller = new AbortController();
      let seen = 0;
      const error = await failure(root, {
        cacheDirectory: cache,
        signal: controller.signal,
        onProgress: (progress) => {
          if (progress.phase !== phase) return;
          seen = progress.done;
          if (progress.done === 5) controller.abort(new Error('enough'));
        },
      });
      expect(error.code).toBe('ERR_CANCELLED');
      expect(error.cause).toMatchObject({ message: 'enough' });
      expect(seen).toBeLessThan(60);
      expect(await namesIn(cache)).toEqual([]);
    }
  });

  it('is noticed before anything is read', async () => {
    const root = await folderOf({ 'a.png': await grey(1) });
    expect((await failure(root, { signal: AbortSignal.abort() })).code).toBe('ERR_CANCELLED');
  });
});
