import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { type ImageFolderOptions, imageFolder, readImage } from '../src/index.ts';
import { pattern, png, rawSharp, readAll, rmsDifference, temporaryFolder, tiff16, writeFiles } from './helpers.ts';

const folder = await temporaryFolder();
let folders = 0;

/** The pixels that a data set makes of one file. */
async function through(
  content: Uint8Array,
  name: string,
  options: ImageFolderOptions = {},
): Promise<{
  shape: readonly number[];
  pixels: Uint8Array;
}> {
  const root = join(folder, String(folders++));
  await writeFiles(root, { [name]: content });
  const data = await imageFolder(root, { cacheDirectory: join(folder, 'cache'), ...options });
  expect(data.skipped).toEqual([]);
  return { shape: data.shape, pixels: (await readAll(data))[0] as Uint8Array };
}

const grey = pattern(8, 6, 1);
const rgb = pattern(8, 6, 3);
const opaque = Uint8Array.from(pattern(8, 6, 4), (value, i) => (i % 4 === 3 ? 255 : value));
const rgba = Uint8Array.from(pattern(8, 6, 4), (value, i) => (i % 4 === 3 ? 40 + i : value));
/** What of `data` is seen on white. */
function onWhite(data: Uint8Array, colours: 1 | 3): Uint8Array {
  const bands = colours + 1;
  return Uint8Array.from({ length: (data.length / bands) * colours }, (_, i) => {
    const pixel = Math.floor(i / colours) * bands;
    const alpha = (data[pixel + colours] as number) / 255;
    return Math.round((data[pixel + (i % colours)] as number) * alpha + 255 * (1 - alpha));
  });
}

const lossless: readonly (readonly [string, (image: Sharp) => Sharp])[] = [
  ['png', (image) => image.png()],
  ['webp', (image) => image.webp({ lossless: true, exact: true })],
  ['tiff', (image) => image.tiff({ compression: 'lzw' })],
];

describe('lossless files arrive byte for byte', () => {
  it.each(lossless)('RGB %s', async (ending, encode) => {
    const file = await encode(rawSharp(rgb, 8, 6, 3)).toBuffer();
    expect(await through(file, `a.${ending}`)).toEqual({ shape: [8, 6, 3], pixels: rgb });
  });

  it.each(lossless)('RGBA %s keeps alpha with channels 4', async (ending, encode) => {
    const file = await encode(rawSharp(rgba, 8, 6, 4)).toBuffer();
    expect(await through(file, `a.${ending}`, { channels: 4 })).toEqual({ shape: [8, 6, 4], pixels: rgba });
  });

  it.each(lossless)('RGBA %s lies on white otherwise', async (ending, encode) => {
    const file = await encode(rawSharp(rgba, 8, 6, 4)).toBuffer();
    const { shape, pixels } = await through(file, `a.${ending}`);
    expect(shape).toEqual([8, 6, 3]);
    const expected = onWhite(rgba, 3);
    pixels.forEach((value, i) => {
      expect(Math.abs(value - (expected[i] as number))).toBeLessThanOrEqual(1);
    });
  });

  it('opaque alpha changes nothing', async () => {
    const file = await rawSharp(opaque, 8, 6, 4).png().toBuffer();
    const { pixels } = await through(file, 'a.png');
    expect(pixels).toEqual(opaque.filter((_, i) => i % 4 !== 3));
  });

  it('grey PNG', async () => {
    expect(await through(await png(8, 6, 1, grey), 'a.png')).toEqual({ shape: [8, 6, 1], pixels: grey });
  });

  it('grey PNG as RGB and RGBA', async () => {
    const file = await png(8, 6, 1, grey);
    const { pixels } = await through(file, 'a.png', { channels: 3 });
    expect(pixels).toEqual(Uint8Array.from({ length: 144 }, (_, i) => grey[Math.floor(i / 3)] as number));
    const withAlpha = await through(file, 'a.png', { channels: 4 });
    expect(withAlpha.pixels).toEqual(
      Uint8Array.from({ length: 192 }, (_, i) => (i % 4 === 3 ? 255 : (grey[i >> 2] as number))),
    );
  });

  it('grey PNG with alpha', async () => {
    const data = pattern(8, 6, 2);
    const { shape, pixels } = await through(await png(8, 6, 2, data), 'a.png');
    expect(shape).toEqual([8, 6, 1]);
    const expected = onWhite(data, 1);
    pixels.forEach((value, i) => {
      expect(Math.abs(value - (expected[i] as number))).toBeLessThanOrEqual(1);
    });
  });

  it('palettes', async () => {
    const few = Uint8Array.from(rgb, (value) => (value > 127 ? 255 : 0));
    const file = await rawSharp(few, 8, 6, 3).png({ palette: true }).toBuffer();
    expect((await sharp(file).metadata()).isPalette).toBe(true);
    expect(await through(file, 'a.png')).toEqual({ shape: [8, 6, 3], pixels: few });
    const gif = await rawSharp(few, 8, 6, 3).gif().toBuffer();
    expect(await through(gif, 'a.gif')).toEqual({ shape: [8, 6, 3], pixels: few });
  });

  it('SVG', async () => {
    const file =
      '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="2"><rect width="2" height="2" fill="#f00"/></svg>';
    const { shape, pixels } = await through(Buffer.from(file), 'a.svg');
    expect(shape).toEqual([2, 4, 3]);
    expect([...pixels.slice(0, 12)]).toEqual([255, 0, 0, 255, 0, 0, 255, 255, 255, 255, 255, 255]);
  });
});

describe('lossy files arrive close', () => {
  const smooth = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => 40 + 4 * Math.floor(i / 96) + 20 * (i % 3));
  it.each([
    ['jpg', (image: Sharp) => image.jpeg({ quality: 95, chromaSubsampling: '4:4:4' })],
    ['jpeg', (image: Sharp) => image.jpeg({ quality: 95, progressive: true, chromaSubsampling: '4:4:4' })],
    ['webp', (image: Sharp) => image.webp({ quality: 95 })],
    ['avif', (image: Sharp) => image.avif({ quality: 90, chromaSubsampling: '4:4:4' })],
    ['tiff', (image: Sharp) => image.tiff({ compression: 'jpeg', quality: 95 })],
  ])('%s', async (ending, encode) => {
    const { shape, pixels } = await through(await encode(rawSharp(smooth, 32, 32, 3)).toBuffer(), `a.${ending}`);
    expect(shape).toEqual([32, 32, 3]);
    expect(rmsDifference(pixels, smooth)).toBeLessThan(3);
  });

  it('grey JPEG', async () => {
    const ramp = Uint8Array.from({ length: 1024 }, (_, i) => 3 * (i >> 5) + 2 * (i % 32));
    const { shape, pixels } = await through(await rawSharp(ramp, 32, 32, 1).jpeg({ quality: 95 }).toBuffer(), 'a.jpg');
    expect(shape).toEqual([32, 32, 1]);
    expect(rmsDifference(pixels, ramp)).toBeLessThan(3);
  });

  it('CMYK JPEG becomes RGB', async () => {
    const file = await rawSharp(smooth, 32, 32, 3).toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer();
    expect((await sharp(file).metadata()).space).toBe('cmyk');
    const { shape, pixels } = await through(file, 'a.jpg');
    expect(shape).toEqual([32, 32, 3]);
    expect(rmsDifference(pixels, smooth)).toBeLessThan(12);
  });
});

describe('16 bits are rounded to 8', () => {
  const samples = (length: number): Uint16Array => Uint16Array.from({ length }, (_, i) => (i * 7919 + 255) % 65_536);
  const rounded = (values: Uint16Array): Uint8Array => Uint8Array.from(values, (value) => Math.round(value / 257));

  it('PNG: grey, RGB, RGBA', async () => {
    for (const channels of [1, 3, 4] as const) {
      const data = samples(48 * channels);
      const file = await png(8, 6, channels, data);
      expect((await sharp(file).metadata()).depth).toBe('ushort');
      const options = channels === 4 ? { channels } : {};
      expect(await through(file, 'a.png', options)).toEqual({ shape: [8, 6, channels], pixels: rounded(data) });
    }
  });

  it('TIFF: grey, RGB', async () => {
    for (const channels of [1, 3] as const) {
      const data = samples(48 * channels);
      const { shape, pixels } = await through(tiff16(8, 6, channels, data), 'a.tif');
      expect(shape).toEqual([8, 6, channels]);
      expect(pixels).toEqual(rounded(data));
    }
  });

  it('transparency lies on a white of 255', async () => {
    const data = Uint16Array.from({ length: 48 * 4 }, (_, i) => (i % 4 === 3 ? 0 : 1000));
    expect((await through(await png(8, 6, 4, data), 'a.png')).pixels).toEqual(new Uint8Array(144).fill(255));
    const half = Uint16Array.from({ length: 48 * 4 }, (_, i) => (i % 4 === 3 ? 32_768 : 0));
    expect((await through(await png(8, 6, 4, half), 'a.png')).pixels).toEqual(new Uint8Array(144).fill(127));
  });

  it('RGB to grey agrees with 8 bits', async () => {
    const wide = await through(
      await png(
        8,
        6,
        3,
        Uint16Array.from(rgb, (value) => value * 257),
      ),
      'a.png',
      { channels: 1 },
    );
    const narrow = await through(await png(8, 6, 3, rgb), 'a.png', { channels: 1 });
    expect(wide.shape).toEqual([8, 6, 1]);
    wide.pixels.forEach((value, i) => {
      expect(Math.abs(value - (narrow.pixels[i] as number))).toBeLessThanOrEqual(1);
    });
  });

  it('a colour profile is brought to sRGB, as with 8 bits', async () => {
    const colours = Uint8Array.from({ length: 144 }, (_, i) => [200, 90, 40][i % 3] as number);
    const narrow = await rawSharp(colours, 8, 6, 3).withIccProfile('p3').png().toBuffer();
    const stored = await sharp(narrow, { ignoreIcc: true }).raw().toBuffer();
    expect(rmsDifference(stored, colours)).toBeGreaterThan(5);
    // Sharp takes untagged 16-bit samples for Display P3, so these numbers are stored as they are.
    const wide = await rawSharp(
      Uint16Array.from(stored, (value) => value * 257),
      8,
      6,
      3,
    )
      .withIccProfile('p3')
      .png()
      .toBuffer();
    expect(await sharp(wide).metadata()).toMatchObject({ depth: 'ushort', hasProfile: true });
    for (const file of [narrow, wide]) {
      expect(rmsDifference((await through(file, 'a.png')).pixels, colours)).toBeLessThan(1.5);
    }
  });
});

describe('resizing', () => {
  it('crops the centre exactly when only one side is too long', async () => {
    const data = pattern(4, 10, 3);
    const { pixels } = await through(await png(4, 10, 3, data), 'a.png', { resolution: 4 });
    const centre = Uint8Array.from(
      { length: 48 },
      (_, i) => data[(Math.floor(i / 12) * 10 + 3) * 3 + (i % 12)] as number,
    );
    expect(pixels).toEqual(centre);
  });

  it('takes height before width in every form', async () => {
    const file = await png(16, 16, 3);
    for (const resolution of [{ height: 4, width: 8 }, [4, 8] as const]) {
      expect((await through(file, 'a.png', { resolution })).shape).toEqual([4, 8, 3]);
    }
  });

  it('keeps constants constant, down and up', async () => {
    const file = await png(30, 50, 3, new Uint8Array(30 * 50 * 3).fill(77));
    for (const resolution of [7, 64]) {
      const { pixels } = await through(file, 'a.png', { resolution });
      expect(pixels).toEqual(new Uint8Array(resolution * resolution * 3).fill(77));
    }
  });

  it('averages away what is too fine to show', async () => {
    const stripes = Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 2 === 0 ? 0 : 255));
    const { pixels } = await through(await png(64, 64, 1, stripes), 'a.png', { resolution: 16 });
    for (let i = 0; i < 256; i++) {
      const column = i % 16;
      if (column > 0 && column < 15) expect(Math.abs((pixels[i] as number) - 127.5)).toBeLessThan(4);
    }
  });

  it('a linear ramp stays linear', async () => {
    const ramp = Uint8Array.from({ length: 64 * 64 }, (_, i) => 2 * (i % 64) + 60);
    const { pixels } = await through(await png(64, 64, 1, ramp), 'a.png', { resolution: 16 });
    for (let column = 2; column < 14; column++) {
      expect(Math.abs((pixels[column] as number) - (60 + 2 * (4 * column + 1.5)))).toBeLessThanOrEqual(1);
    }
  });

  it('counts images that had to be enlarged', async () => {
    const root = join(folder, 'enlarged');
    await writeFiles(root, {
      'a.png': await png(8, 8, 3),
      'b.png': await png(40, 16, 3),
      'c.png': await png(15, 40, 3),
    });
    const data = await imageFolder(root, { resolution: 16, cacheDirectory: join(folder, 'cache') });
    expect(data.statistics).toEqual({ fromCache: false, enlarged: 2 });
  });
});

it('honours the EXIF orientation', async () => {
  const data = pattern(8, 6, 3);
  const smooth = Uint8Array.from(data, (_, i) => (Math.floor(i / 18) < 4 ? 20 : 230));
  const file = await rawSharp(smooth, 8, 6, 3).withMetadata({ orientation: 6 }).png().toBuffer();
  const { shape, pixels } = await through(file, 'a.png');
  expect(shape).toEqual([6, 8, 3]);
  // Turned clockwise: the dark upper half comes to the right.
  expect(pixels).toEqual(Uint8Array.from({ length: 144 }, (_, i) => (Math.floor(i / 3) % 8 < 4 ? 230 : 20)));
});

it.each(['gif', 'webp'] as const)('takes the first frame of an animated %s', async (format) => {
  const frames = Buffer.concat([Buffer.alloc(48, 255), Buffer.alloc(48, 0)]);
  const file = await sharp(frames, { raw: { width: 4, height: 8, channels: 3, pageHeight: 4 } })
    .toFormat(format, { delay: [50, 50], lossless: true })
    .toBuffer();
  expect((await sharp(file).metadata()).pages).toBe(2);
  expect(await through(file, `a.${format}`)).toEqual({ shape: [4, 4, 3], pixels: new Uint8Array(48).fill(255) });
});

describe('readImage', () => {
  it('reads one file as a folder would', async () => {
    const path = join(folder, 'single.png');
    await writeFiles(folder, { 'single.png': await png(8, 6, 3, rgb), 'text.png': 'no image' });
    expect(await readImage(path)).toEqual({ data: Buffer.from(rgb), shape: [8, 6, 3] });
    expect((await readImage(path, { resolution: 4, channels: 1 })).shape).toEqual([4, 4, 1]);
    await expect(readImage(join(folder, 'text.png'))).rejects.toMatchObject({ code: 'ERR_DATA' });
    await expect(readImage(join(folder, 'none.png'))).rejects.toThrow(/there is no file .*none\.png/);
  });
});
