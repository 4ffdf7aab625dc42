import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  type Images,
  imageFolder,
  imageGrid,
  imageRows,
  saveAnimation,
  saveImageGrid,
  saveImageRows,
  saveImages,
  toBytes,
} from '../src/index.ts';
import { namesIn, pattern, readAll, temporaryFolder } from './helpers.ts';

const folder = await temporaryFolder();

function batch(count: number, height: number, width: number, channels: number, seed = 0): Images {
  return { data: pattern(count * height, width, channels, seed), shape: [count, height, width, channels] };
}

/** Raw bytes of a file and its shape; WebP has no grey. */
async function decoded(path: string): Promise<{ shape: number[]; data: Uint8Array }> {
  const grey = (await sharp(path).metadata()).space === 'b-w';
  const { data, info } = await sharp(path)
    .toColourspace(grey ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { shape: [info.height, info.width, info.channels], data: new Uint8Array(data) };
}

describe('toBytes', () => {
  it('maps [-1, 1] to 0 … 255, rounds and clamps', () => {
    const values = [-1, 1, 0, -1.5, 1e30, -0.5, 0.5, 1 / 127.5 - 1, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1];
    const bytes = toBytes({ data: Float32Array.from(values), shape: [1, 1, 10, 1] });
    expect([...bytes]).toEqual([0, 255, 128, 0, 255, 64, 191, 1, 0, 1]);
  });

  it('is the inverse of x = byte / 127.5 - 1', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const floats = Float32Array.from(all, (byte) => byte / 127.5 - 1);
    expect(toBytes({ data: floats, shape: [1, 16, 16, 1] })).toEqual(all);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('names a %d and its place', (value) => {
    const data = new Float32Array(2 * 3 * 4 * 3);
    data[(1 * 12 + 2 * 4 + 1) * 3 + 2] = value;
    expect(() => toBytes({ data, shape: [2, 3, 4, 3] })).toThrow(
      `images must be finite; value 65 ([image, y, x, channel] = [1, 2, 1, 2]) is ${value}`,
    );
    expect(() => toBytes({ data, shape: [2, 3, 4, 3] })).toThrow(expect.objectContaining({ code: 'ERR_NON_FINITE' }));
  });

  it.each([[[1, 2, 2, 2]], [[0, 2, 2, 1]], [[1, 2, 2]], [[1, -2, -2, 1]], [[1, 2, 2.5, 1]], [[1, 2, 3, 1]]])(
    'refuses the shape %j for 4 values',
    (shape) => {
      const images = { data: new Uint8Array(4), shape: shape as unknown as Images['shape'] };
      expect(() => toBytes(images)).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
    },
  );

  it('refuses other arrays', () => {
    const images = { data: new Float64Array(4) as unknown as Float32Array, shape: [1, 2, 2, 1] as const };
    expect(() => toBytes(images)).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }));
  });
});

describe('imageGrid', () => {
  it('holds every image in its place, white between them, and grey or nothing where there are no more', () => {
    fc.assert(
      fc.property(
        fc.record({
          count: fc.integer({ min: 1, max: 12 }),
          height: fc.integer({ min: 1, max: 4 }),
          width: fc.integer({ min: 1, max: 4 }),
          channels: fc.constantFrom(1, 3, 4),
          columns: fc.option(fc.integer({ min: 1, max: 14 }), { nil: undefined }),
          gap: fc.integer({ min: 0, max: 3 }),
          scale: fc.integer({ min: 1, max: 3 }),
        }),
        ({ count, height, width, channels, columns, gap, scale }) => {
          const images = batch(count, height, width, channels, count);
          const grid = imageGrid(images, { gap, scale, ...(columns !== undefined && { columns }) });
          const perRow = Math.min(count, columns ?? Math.ceil(Math.sqrt(count)));
          const rows = Math.ceil(count / perRow);
          const [down, right] = [height * scale + gap, width * scale + gap];
          expect(grid.shape).toEqual([rows * down - gap, perRow * right - gap, channels]);
          for (let y = 0; y < grid.shape[0]; y++) {
            for (let x = 0; x < grid.shape[1]; x++) {
              const [row, column] = [Math.floor(y / down), Math.floor(x / right)];
              const [inY, inX] = [Math.floor((y % down) / scale), Math.floor((x % right) / scale)];
              const image = row * perRow + column;
              const isWhite = inY >= height || inX >= width;
              const free = channels === 4 ? 0 : 0xc0;
              for (let c = 0; c < channels; c++) {
                const at = ((image * height + inY) * width + inX) * channels + c;
                const expected = isWhite ? 255 : image >= count ? free : images.data[at];
                expect(grid.data[(y * grid.shape[1] + x) * channels + c]).toBe(expected);
              }
            }
          }
        },
      ),
      { numRuns: 80 },
    );
  });

  it.each([{ columns: 0 }, { columns: 1.5 }, { gap: -1 }, { gap: 0.5 }, { scale: 0 }, { scale: 65 }])(
    'refuses %j',
    (options) => {
      expect(() => imageGrid(batch(2, 2, 2, 1), options)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
    },
  );

  it('refuses pictures that no memory holds', () => {
    const images = { data: new Uint8Array(2 ** 20), shape: [1, 2 ** 10, 2 ** 10, 1] } as const;
    expect(() => imageGrid(images, { scale: 64 })).toThrow(/is too large; use fewer images or a smaller scale/);
  });
});

describe('imageRows', () => {
  it('puts rows of different length below each other', () => {
    const a = batch(3, 2, 2, 3, 1);
    const b = batch(1, 2, 2, 3, 2);
    const picture = imageRows([{ images: a }, { images: b }], { gap: 0 });
    expect(picture.shape).toEqual([4, 6, 3]);
    expect(picture.data.slice(0, 6)).toEqual((a.data as Uint8Array).slice(0, 6));
    expect(picture.data.slice(2 * 18, 2 * 18 + 6)).toEqual((b.data as Uint8Array).slice(0, 6));
    expect(picture.data.slice(2 * 18 + 6, 3 * 18)).toEqual(new Uint8Array(12).fill(255));
  });

  it('draws labels in black to the left and leaves the images alone', () => {
    const images = batch(2, 20, 20, 1, 3);
    const plain = imageRows([{ images }, { images }]);
    const labelled = imageRows([
      { images, label: 'x' },
      { images, label: 'eps' },
    ]);
    const margin = labelled.shape[1] - plain.shape[1];
    expect(margin).toBe(4 + 17 + 4);
    for (let y = 0; y < plain.shape[0]; y++) {
      const row = labelled.data.subarray(y * labelled.shape[1], (y + 1) * labelled.shape[1]);
      expect(row.subarray(margin)).toEqual(plain.data.subarray(y * plain.shape[1], (y + 1) * plain.shape[1]));
      expect(row.subarray(0, margin).every((value) => value === 0 || value === 255)).toBe(true);
    }
    const letter = Array.from({ length: 7 }, (_, y) =>
      [...labelled.data.subarray((y + 7) * labelled.shape[1] + 4, (y + 7) * labelled.shape[1] + 9)]
        .map((value) => (value === 0 ? '#' : '.'))
        .join(''),
    );
    expect(letter).toEqual(['.....', '.....', '#...#', '.#.#.', '..#..', '.#.#.', '#...#']);
  });

  it('makes room for text beside tiny images and shows what it cannot draw as ?', () => {
    const images = batch(1, 1, 1, 4);
    const picture = imageRows([{ images, label: 'ü' }]);
    expect(picture.shape).toEqual([7, 14, 4]);
    expect(picture.data.slice(0, 14 * 7 * 4)).toEqual(imageRows([{ images, label: '?' }]).data);
  });

  it('refuses no rows and rows of different sizes', () => {
    expect(() => imageRows([])).toThrow(/needs at least one row/);
    expect(() => imageRows([{ images: batch(1, 2, 2, 1) }, { images: batch(1, 2, 3, 1) }])).toThrow(
      /all rows need images of 2 x 2 x 1; those of row 1 are 2 x 3 x 1/,
    );
  });
});

describe('files', () => {
  it.each([
    [1, '.png', 1],
    [3, '.png', 3],
    [4, '.png', 4],
    [1, '.webp', 3],
    [3, '.webp', 3],
    [4, '.webp', 4],
  ])('grid of %d channels as %s comes back exactly', async (channels, ending, stored) => {
    const images = batch(5, 6, 7, channels);
    const path = join(folder, 'new', 'folders', `grid-${channels}${ending.toUpperCase()}`);
    await saveImageGrid(path, images, { columns: 3, scale: 2 });
    const grid = imageGrid(images, { columns: 3, scale: 2 });
    const file = await decoded(path);
    expect(file.shape).toEqual([grid.shape[0], grid.shape[1], stored]);
    const expected = stored === channels ? grid.data : [...grid.data].flatMap((v) => [v, v, v]);
    expect(file.data).toEqual(Uint8Array.from(expected));
  });

  it('rows come back exactly', async () => {
    const rows = [
      { images: batch(3, 8, 8, 3), label: 'x_t' },
      { images: batch(3, 8, 8, 3, 1), label: 'x0' },
    ];
    await saveImageRows(join(folder, 'rows.png'), rows, { scale: 3 });
    const expected = imageRows(rows, { scale: 3 });
    expect(await decoded(join(folder, 'rows.png'))).toEqual({ shape: [...expected.shape], data: expected.data });
  });

  it('one file an image, and a data set reads them again', async () => {
    const images = batch(12, 4, 4, 3);
    const place = join(folder, 'singles');
    const paths = await saveImages(place, images, { prefix: 'sample-', start: 9995 });
    expect(paths.map((path) => path.slice(place.length + 1))).toEqual(
      Array.from({ length: 12 }, (_, i) => `sample-${String(9995 + i).padStart(5, '0')}.png`),
    );
    const data = await imageFolder(place, { cacheDirectory: join(folder, 'cache') });
    expect(Buffer.concat(await readAll(data))).toEqual(Buffer.from(images.data));
    expect((await saveImages(join(folder, 'webp'), images, { format: 'webp', scale: 2 }))[3]).toMatch(/0003\.webp$/);
    expect((await decoded(join(folder, 'webp', '0003.webp'))).shape).toEqual([8, 8, 3]);
  });

  it('refuses other endings, prefixes and formats', async () => {
    const images = batch(1, 2, 2, 1);
    const grid = expect(saveImageGrid(join(folder, 'a.jpg'), images)).rejects;
    await grid.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: `cannot write ${join(folder, 'a.jpg')}: a grid must end in .png or .webp; got .jpg`,
    });
    await expect(saveImageGrid(join(folder, 'a'), images)).rejects.toThrow(/got no ending/);
    await expect(saveImageRows('a.gif', [{ images }])).rejects.toThrow(/must end in \.png or \.webp; got \.gif/);
    await expect(saveAnimation('a.png', images)).rejects.toThrow(/an animation must end in \.webp or \.gif; got \.png/);
    await expect(saveImages(folder, images, { prefix: '../x' })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    await expect(saveImages(folder, images, { start: -1 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' });
    await expect(saveImages(folder, images, { format: 'bmp' as 'png' })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
    });
  });

  it('keeps the older file when writing fails, and leaves no temporary one', async () => {
    const place = join(folder, 'atomic');
    const path = join(place, 'a.webp');
    await saveImageGrid(path, batch(1, 2, 2, 1));
    const before = await readFile(path);
    const tooWide = { data: new Uint8Array(20_000), shape: [1, 1, 20_000, 1] } as const;
    await expect(saveImageGrid(path, tooWide)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/^cannot write .*a\.webp: .*too large/),
    });
    expect(await readFile(path)).toEqual(before);
    expect(await namesIn(place)).toEqual(['a.webp']);
    await writeFile(join(place, 'file'), '');
    const error = await saveImageGrid(join(place, 'file', 'a.png'), batch(1, 2, 2, 1)).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(DiffuseError);
    expect(error).toMatchObject({ code: 'ERR_DATA' });
  });
});

describe('animations', () => {
  const frames: Images = {
    data: Uint8Array.from({ length: 3 * 8 * 8 * 3 }, (_, i) => [0, 85, 255][Math.floor(i / 192)] as number),
    shape: [3, 8, 8, 3],
  };

  it.each(['.webp', '.gif'])('%s keeps frames, delays and loops', async (ending) => {
    const path = join(folder, `moving${ending}`);
    await saveAnimation(path, frames, { delayMs: [100, 200, 1500], loop: 2, scale: 2 });
    const metadata = await sharp(path, { animated: true }).metadata();
    expect(metadata).toMatchObject({ pages: 3, pageHeight: 16, width: 16, delay: [100, 200, 1500], loop: 2 });
    for (const [page, value] of [0, 85, 255].entries()) {
      const { data } = await sharp(path, { page }).flatten().raw().toBuffer({ resolveWithObject: true });
      expect(new Set(data)).toEqual(new Set([value]));
    }
  });

  it('takes grids as frames, in grey too, and runs for ever by default', async () => {
    const grids = [0, 1, 2, 3].map((seed) => imageGrid(batch(4, 5, 5, 1, seed * 7)));
    const path = join(folder, 'grids.webp');
    await saveAnimation(path, grids);
    const metadata = await sharp(path, { animated: true }).metadata();
    expect(metadata).toMatchObject({ pages: 4, pageHeight: 12, width: 12, delay: [100, 100, 100, 100], loop: 0 });
    const second = await sharp(path, { page: 1 }).removeAlpha().raw().toBuffer();
    expect(Uint8Array.from({ length: 144 }, (_, i) => second[i * 3] as number)).toEqual(grids[1]?.data);
  });

  it('is smaller with a quality', async () => {
    let state = 1;
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    };
    const noise: Images = { data: Uint8Array.from({ length: 4 * 64 * 64 * 3 }, next), shape: [4, 64, 64, 3] };
    await saveAnimation(join(folder, 'exact.webp'), noise);
    await saveAnimation(join(folder, 'lossy.webp'), noise, { quality: 30 });
    const [exact, lossy] = await Promise.all(['exact', 'lossy'].map((name) => readFile(join(folder, `${name}.webp`))));
    expect(lossy?.length).toBeLessThan((exact?.length ?? 0) / 2);
  });

  it.each([
    [[], {}, 'ERR_SHAPE'],
    [[imageGrid(batch(1, 2, 2, 1)), imageGrid(batch(1, 2, 3, 1))], {}, 'ERR_SHAPE'],
    [frames, { delayMs: 0 }, 'ERR_ARGUMENT'],
    [frames, { delayMs: [10, 20] }, 'ERR_ARGUMENT'],
    [frames, { loop: -1 }, 'ERR_ARGUMENT'],
    [frames, { quality: 0 }, 'ERR_ARGUMENT'],
    [frames, { scale: 0.5 }, 'ERR_ARGUMENT'],
  ])('refuses bad frames and options, case %#', async (bad, options, code) => {
    await expect(saveAnimation(join(folder, 'bad.webp'), bad, options)).rejects.toMatchObject({ code });
  });
});
