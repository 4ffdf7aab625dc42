import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type ImageFolderOptions, imageFolder, type OpenProgress } from '../src/index.ts';
import { openPacked, writePacked } from '../src/packed-file.ts';
import { resolveCacheDirectory } from '../src/settings.ts';
import { namesIn, pattern, png, progressLog, readAll, temporaryFolder, writeFiles } from './helpers.ts';

const folder = await temporaryFolder();
let folders = 0;

/** A folder of six images with a cache directory of its own. */
async function sample(): Promise<{ root: string; cacheDirectory: string }> {
  const place = join(folder, String(folders++));
  const root = join(place, 'images');
  const cacheDirectory = join(place, 'cache');
  for (let i = 0; i < 6; i++) {
    await writeFiles(root, { [`${i % 2}/${i}.png`]: await png(8, 8, 3, pattern(8, 8, 3, i)) });
  }
  return { root, cacheDirectory };
}

describe('the cache', () => {
  it('is used the second time: nothing is decoded', async () => {
    const { root, cacheDirectory } = await sample();
    const first = progressLog();
    const fresh = await imageFolder(root, { cacheDirectory, onProgress: first.onProgress });
    expect(first.phases()).toEqual(['hash', 'inspect', 'decode']);
    for (const phase of first.phases()) {
      const events = first.events.filter((event) => event.phase === phase);
      expect(events.map(({ done }) => done)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(events.every(({ total, skipped }) => total === 6 && skipped === 0)).toBe(true);
    }
    expect(fresh.statistics.fromCache).toBe(false);
    const second = progressLog();
    const cached = await imageFolder(root, { cacheDirectory, onProgress: second.onProgress });
    expect(second.phases()).toEqual(['hash']);
    expect(cached.statistics.fromCache).toBe(true);
    expect(await readAll(cached)).toEqual(await readAll(fresh));
    expect(cached.fingerprint).toBe(fresh.fingerprint);
    expect(await namesIn(cacheDirectory)).toEqual([`${fresh.fingerprint}.diffuse-data`]);
    expect(cached.cachePath).toBe(join(cacheDirectory, `${fresh.fingerprint}.diffuse-data`));
  });

  it('does not depend on where the folder lies or when files were written', async () => {
    const { root, cacheDirectory } = await sample();
    const { fingerprint } = await imageFolder(root, { cacheDirectory });
    await rename(root, `${root}-moved`);
    await utimes(join(`${root}-moved`, '0', '0.png'), 1, 1);
    await writeFile(join(`${root}-moved`, 'notes.txt'), 'foreign files do not matter');
    const moved = await imageFolder(`${root}-moved`, { cacheDirectory });
    expect(moved).toMatchObject({ fingerprint, statistics: { fromCache: true } });
  });

  it('is another one when content, names or settings change', async () => {
    const { root, cacheDirectory } = await sample();
    const seen = new Set<string>();
    const expectNew = async (options: ImageFolderOptions = {}): Promise<void> => {
      const data = await imageFolder(root, { cacheDirectory, ...options });
      expect(data.statistics.fromCache).toBe(false);
      expect(seen).not.toContain(data.fingerprint);
      seen.add(data.fingerprint);
    };
    await expectNew();
    await expectNew({ resolution: 4 });
    await expectNew({ resolution: [4, 8] });
    await expectNew({ channels: 1 });
    await expectNew({ channels: 3 });
    await expectNew({ classes: 'folders' });
    // Same length, same name, one pixel different; and the time stamp put back.
    const path = join(root, '0', '0.png');
    const { atime, mtime } = await stat(path);
    const pixels = pattern(8, 8, 3);
    pixels[0] = (pixels[0] as number) ^ 1;
    await writeFile(path, await png(8, 8, 3, pixels));
    await utimes(path, atime, mtime);
    await expectNew();
    await rename(join(root, '0', '2.png'), join(root, '0', 'two.png'));
    await expectNew();
    await rm(join(root, '1', '5.png'));
    await expectNew();
  });

  it('is shared by strict and lenient runs', async () => {
    const { root, cacheDirectory } = await sample();
    const { fingerprint } = await imageFolder(root, { cacheDirectory });
    const strict = await imageFolder(root, { cacheDirectory, strict: true });
    expect(strict).toMatchObject({ fingerprint, statistics: { fromCache: true } });
  });

  it.each<[string, (path: string, size: number) => Promise<void>]>([
    ['cut short', (path, size) => truncate(path, size - 1)],
    ['cut in the pixels', (path) => truncate(path, 200)],
    ['cut in the preamble', (path) => truncate(path, 20)],
    ['emptied', (path) => truncate(path, 0)],
    ['longer than it was', async (path) => writeFile(path, Buffer.concat([await readFile(path), Buffer.of(0)]))],
    ['overwritten at the start', (path) => flip(path, 0)],
    ['damaged in the lengths', (path) => flip(path, 12)],
    ['damaged in the pixels', (path) => flip(path, 500)],
    ['damaged in the labels', (path) => flip(path, 64 + 6 * 192 + 5)],
    ['damaged in the header', (path, size) => flip(path, size - 10)],
    ['replaced by a folder', async (path) => rm(path).then(() => mkdir(path))],
  ])('is rebuilt when %s', async (damage, harm) => {
    const { root, cacheDirectory } = await sample();
    const options: ImageFolderOptions = { cacheDirectory, classes: 'folders' };
    const fresh = await imageFolder(root, options);
    const path = fresh.cachePath as string;
    await harm(path, (await stat(path)).size);
    if (damage === 'replaced by a folder') {
      await expect(imageFolder(root, options)).rejects.toMatchObject({
        code: 'ERR_DATA',
        message: expect.stringMatching(
          /^cannot write the cache .* choose another place with cacheDirectory or DIFFUSE_CACHE/,
        ),
      });
      return;
    }
    const rebuilt = await imageFolder(root, options);
    expect(rebuilt.statistics.fromCache).toBe(false);
    expect(rebuilt.labels).toEqual(fresh.labels);
    expect(await readAll(rebuilt)).toEqual(await readAll(fresh));
    expect((await imageFolder(root, options)).statistics.fromCache).toBe(true);
  });

  it('does not take the cache of other images under its name', async () => {
    const a = await sample();
    const first = await imageFolder(a.root, { cacheDirectory: a.cacheDirectory });
    const second = await imageFolder(a.root, { cacheDirectory: a.cacheDirectory, resolution: 4 });
    await rename(second.cachePath as string, first.cachePath as string);
    expect(await imageFolder(a.root, { cacheDirectory: a.cacheDirectory })).toMatchObject({
      shape: [8, 8, 3],
      statistics: { fromCache: false },
    });
  });

  it('stays in its file when it is larger than the memory for it', async () => {
    const { root, cacheDirectory } = await sample();
    const inMemory = await imageFolder(root, { cacheDirectory, classes: 'folders' });
    using inFile = await imageFolder(root, { cacheDirectory, classes: 'folders', memoryBytes: 6 * 192 - 1 });
    expect(inFile.labels).toEqual(inMemory.labels);
    expect(await readAll(inFile)).toEqual(await readAll(inMemory));
    // The open file outlives its name.
    await rm(inFile.cachePath as string);
    expect(await readAll(inFile)).toEqual(await readAll(inMemory));
  });

  it('says so when its file shrinks during the run', async () => {
    const { root, cacheDirectory } = await sample();
    using data = await imageFolder(root, { cacheDirectory, memoryBytes: 0 });
    await truncate(data.cachePath as string, 300);
    await expect(readAll(data)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/became shorter while it was in use/),
    });
  });

  it('names a place where nothing can be written', async () => {
    const { root, cacheDirectory } = await sample();
    await writeFile(cacheDirectory, 'a file where the folder should be');
    await expect(imageFolder(root, { cacheDirectory })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/^cannot write the cache .*; choose another place/),
    });
  });

  it('is not built from files that change meanwhile', async () => {
    for (const change of [(path: string) => writeFileSync(path, 'other content'), (path: string) => rmSync(path)]) {
      const { root, cacheDirectory } = await sample();
      // What follows the image does not matter to it, but files of more than 1 MiB are read again to be decoded.
      const large = Buffer.concat([await png(8, 8, 3, pattern(8, 8, 3, 3)), Buffer.alloc(2 ** 20)]);
      await writeFiles(root, { '1/3.png': large });
      const onProgress = ({ phase, done, total }: OpenProgress): void => {
        if (phase === 'hash' && done === total) change(join(root, '1', '3.png'));
      };
      await expect(imageFolder(root, { cacheDirectory, onProgress })).rejects.toMatchObject({
        code: 'ERR_DATA',
        message: expect.stringMatching(/3\.png (changed while the folder was read|cannot be read any more)/),
      });
      expect(await namesIn(cacheDirectory)).toEqual([]);
    }
  });

  it('holds what was hashed, whatever happens to small files meanwhile', async () => {
    const { root, cacheDirectory } = await sample();
    const expected = await readAll(await imageFolder(root, { cacheDirectory }));
    await rm(cacheDirectory, { recursive: true });
    const onProgress = ({ phase, done, total }: OpenProgress): void => {
      if (phase === 'hash' && done === total) rmSync(join(root, '1', '3.png'));
    };
    expect(await readAll(await imageFolder(root, { cacheDirectory, onProgress }))).toEqual(expected);
  });

  it('clears away what killed processes left, a day later', async () => {
    const { root, cacheDirectory } = await sample();
    const left = (age: string): string => `.${age}.diffuse-data.1-abc.tmp`;
    await writeFiles(cacheDirectory, { [left('old')]: 'half', [left('young')]: 'half', 'foreign.tmp': 'not ours' });
    for (const name of [left('old'), 'foreign.tmp']) await utimes(join(cacheDirectory, name), 1, 1);
    const { fingerprint } = await imageFolder(root, { cacheDirectory });
    expect(await namesIn(cacheDirectory)).toEqual([left('young'), 'foreign.tmp', `${fingerprint}.diffuse-data`].sort());
  });

  it('survives several that build it at once, in one process', async () => {
    const { root, cacheDirectory } = await sample();
    const all = await Promise.all(Array.from({ length: 5 }, () => imageFolder(root, { cacheDirectory })));
    const expected = await readAll(await imageFolder(root, { cacheDirectory }));
    for (const data of all) expect(await readAll(data)).toEqual(expected);
    expect(await namesIn(cacheDirectory)).toHaveLength(1);
  });

  it('survives several processes that build it at once', async () => {
    const { root, cacheDirectory } = await sample();
    const source = new URL('../src/index.ts', import.meta.url).href;
    const script = `
      const { imageFolder } = await import(${JSON.stringify(source)});
      const data = await imageFolder(${JSON.stringify(root)}, { cacheDirectory: ${JSON.stringify(cacheDirectory)} });
      const target = new Uint8Array(192);
      await data.read(Int32Array.of(3), target);
      console.log(data.fingerprint, Buffer.from(target).toString('hex'));`;
    const tsx = createRequire(fileURLToPath(new URL('../../../package.json', import.meta.url))).resolve('tsx');
    const run = promisify(execFile);
    const flags = ['--import', tsx, '--conditions=@diffuse/source', '--input-type=module', '-e', script];
    const outputs = await Promise.all([1, 2, 3].map(() => run(process.execPath, flags)));
    expect(new Set(outputs.map(({ stdout }) => stdout)).size).toBe(1);
    const data = await imageFolder(root, { cacheDirectory });
    expect(data.statistics.fromCache).toBe(true);
    expect(outputs[0]?.stdout).toMatch(data.fingerprint);
    expect(await namesIn(cacheDirectory)).toHaveLength(1);
  });
});

/** Inverts one byte. */
async function flip(path: string, at: number): Promise<void> {
  const content = await readFile(path);
  content[at] = ~(content[at] as number);
  await writeFile(path, content);
}

describe('the place of the cache', () => {
  const before = { ...process.env };
  afterEach(() => {
    process.env = { ...before };
  });

  it('is the option, else DIFFUSE_CACHE, else XDG_CACHE_HOME, else the home', () => {
    process.env.DIFFUSE_CACHE = '/a';
    process.env.XDG_CACHE_HOME = '/b';
    expect(resolveCacheDirectory('/c')).toBe('/c');
    expect(resolveCacheDirectory(undefined)).toBe('/a');
    delete process.env.DIFFUSE_CACHE;
    expect(resolveCacheDirectory(undefined)).toBe(join('/b', 'diffuse'));
    delete process.env.XDG_CACHE_HOME;
    expect(resolveCacheDirectory(undefined)).toBe(join(homedir(), '.cache', 'diffuse'));
  });
});

describe('the packed file', () => {
  it('returns what was packed, whatever the pieces and wherever it is read from', async () => {
    const path = join(folder, 'property');
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          height: fc.integer({ min: 1, max: 5 }),
          width: fc.integer({ min: 1, max: 5 }),
          channels: fc.constantFrom(1, 3, 4),
          pieces: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
          labelled: fc.boolean(),
          inMemory: fc.boolean(),
          seed: fc.integer({ min: 0, max: 1000 }),
        }),
        fc.infiniteStream(fc.nat()),
        async ({ height, width, channels, pieces, labelled, inMemory, seed }, picks) => {
          const count = pieces.reduce((a, b) => a + b, 0);
          const imageBytes = height * width * channels;
          const pixels = pattern(count * height, width, channels, seed);
          const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
          await writePacked(path, async (writer) => {
            let done = 0;
            for (const piece of pieces) {
              await writer.append(pixels.subarray(done * imageBytes, (done + piece) * imageBytes));
              done += piece;
            }
            return {
              key: 'k',
              shape: [height, width, channels],
              count,
              skipped: [],
              enlarged: 0,
              ...(labelled && { labels, classNames: ['a', 'b', 'c'] }),
            };
          });
          expect(await openPacked(path, 'other', 2 ** 20)).toBeUndefined();
          const packed = await openPacked(path, 'k', inMemory ? 2 ** 20 : 0);
          expect(packed?.labels).toEqual(labelled ? labels : undefined);
          const indices = Int32Array.from({ length: 20 }, () => picks.next().value % count).sort();
          const target = new Uint8Array(20 * imageBytes);
          await packed?.pixels.read(indices, target);
          packed?.pixels.close();
          indices.forEach((index, i) => {
            expect(target.slice(i * imageBytes, (i + 1) * imageBytes)).toEqual(
              pixels.slice(index * imageBytes, (index + 1) * imageBytes),
            );
          });
        },
      ),
      { numRuns: 60 },
    );
  });
});
