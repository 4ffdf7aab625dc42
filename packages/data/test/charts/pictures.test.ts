import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { outlineTexts, text, textLength } from '../../src/charts/text.ts';
import { palette } from '../../src/charts/theme.ts';
import {
  captionedRows,
  type Images,
  lineChart,
  rasterize,
  renderSvg,
  saveCaptionedRows,
  scatterPlot,
  signalPlot,
} from '../../src/index.ts';
import { temporaryFolder } from '../helpers.ts';
import { elements, parseXml, textsOf } from './xml.ts';

const folder = await temporaryFolder();
const chart = lineChart({ title: 'Noise', series: [{ label: 'ᾱ', y: [1, 0.5, 0] }], width: 300, height: 200 });

describe('renderSvg', () => {
  it('writes the document itself', async () => {
    const path = join(folder, 'new', 'chart.svg');
    await renderSvg(chart, path);
    expect(await readFile(path, 'utf8')).toBe(chart);
  });

  it.each(['.png', '.webp'])('draws a %s, the same bytes each time', async (ending) => {
    const [first, second] = [join(folder, `first${ending}`), join(folder, `second${ending}`)];
    await renderSvg(chart, first);
    await renderSvg(chart, second);
    expect(await readFile(first)).toEqual(await readFile(second));
    expect(await sharp(first).metadata()).toMatchObject({ width: 600, height: 400 });
    const small = join(folder, `small${ending}`);
    await renderSvg(chart, small, { scale: 1 });
    expect(await sharp(small).metadata()).toMatchObject({ width: 300, height: 200 });
  });

  it('refuses other endings, scales and what is no SVG', async () => {
    await expect(renderSvg(chart, join(folder, 'a.jpg'))).rejects.toThrow(
      'must end in .svg or .png or .webp; got .jpg',
    );
    await expect(renderSvg(chart, join(folder, 'a.png'), { scale: 0 })).rejects.toThrow('scale must be above 0');
    await expect(renderSvg('<svg', join(folder, 'a.png'))).rejects.toMatchObject({ code: 'ERR_DATA' });
    await expect(rasterize('no svg')).rejects.toMatchObject({ code: 'ERR_DATA' });
    await writeFile(join(folder, 'file'), '');
    await expect(renderSvg(chart, join(folder, 'file', 'a.png'))).rejects.toMatchObject({ code: 'ERR_DATA' });
  });
});

describe('texts', () => {
  it('become outlines: no text is left to the fonts of the machine', () => {
    const outlined = outlineTexts(chart);
    expect(elements(parseXml(outlined), 'text')).toHaveLength(0);
    expect(textsOf(chart).length).toBeGreaterThan(4);
  });

  it('stay texts where a character has no outline', () => {
    const svg = text('漢字', 0, 0, { size: 12 });
    expect(outlineTexts(svg)).toBe(svg);
  });

  it('have outlines for ASCII, Greek letters and raised digits, as long as they say', async () => {
    const content = `${String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 32 + i))}σ ᾱ β ε 10⁻⁷ x₀ xₜ − × ±`;
    const svg = text(content, 0, 20, { size: 20 });
    expect(outlineTexts(svg)).toMatch(/^<path /);
    const length = textLength(content, 20);
    const { data, shape } = await rasterize(
      `<svg xmlns="http://www.w3.org/2000/svg" width="${Math.ceil(length) + 20}" height="30">${svg}</svg>`,
      { scale: 1 },
    );
    const inked = Array.from({ length: shape[1] }, (_, x) => x).filter((x) =>
      Array.from({ length: shape[0] }, (_, y) => data[(y * shape[1] + x) * 3] as number).some((value) => value < 128),
    );
    expect(Math.max(...inked)).toBeGreaterThan(length - 6);
    expect(Math.max(...inked)).toBeLessThan(length + 1);
  });

  it('are anchored at their start, middle or end', () => {
    const left = (anchor: 'start' | 'middle' | 'end'): number =>
      Number(/translate\(([\d.-]+) /.exec(outlineTexts(text('abc', 100, 0, { size: 10, anchor })))?.[1]);
    const length = textLength('abc', 10);
    expect(left('start')).toBe(100);
    expect(left('middle')).toBeCloseTo(100 - length / 2, 1);
    expect(left('end')).toBeCloseTo(100 - length, 1);
  });
});

describe('captionedRows', () => {
  const row = (count: number, channels: 1 | 3 | 4): Images => ({
    data: new Uint8Array(count * 16 * channels).fill(90),
    shape: [count, 4, 4, channels],
  });

  it('is the picture alone without texts', async () => {
    const { shape, data } = await captionedRows([{ images: row(3, 1) }], { gap: 2, scale: 2 });
    // Margins of 14 pixels around 3 images of 8 pixels with gaps of 2.
    expect(shape).toEqual([8 + 28, 28 + 28, 3]);
    expect([...data.subarray((14 * 56 + 14) * 3, (14 * 56 + 14) * 3 + 3)]).toEqual([90, 90, 90]);
    expect([...data.subarray(0, 3)]).toEqual([255, 255, 255]);
  });

  it('has names to the left and captions below', async () => {
    const plain = await captionedRows([{ images: row(3, 3) }], { scale: 8 });
    const captions = [['t 999', 'σ 157'], ['t 500'], ['t 0']];
    const named = await captionedRows([{ images: row(3, 3), label: 'x₀' }], { scale: 8, captions });
    expect(named.shape[0]).toBeGreaterThan(plain.shape[0] + 25);
    expect(named.shape[1]).toBeGreaterThan(plain.shape[1] + 8);
    const below = named.data.subarray((14 + 32 + 4) * named.shape[1] * 3);
    expect(Math.min(...below)).toBeLessThan(150);
  });

  it('mixes transparent images with the white paper', async () => {
    const images: Images = { data: Uint8Array.from([0, 0, 0, 51]), shape: [1, 1, 1, 4] };
    const { data, shape } = await captionedRows([{ images }]);
    expect(data[(14 * shape[1] + 14) * 3]).toBe(204);
  });

  it('has more white between groups of rows', async () => {
    const rows = [10, 20, 30, 40].map((value) => ({
      images: { data: new Uint8Array(16).fill(value), shape: [1, 4, 4, 1] } as const,
    }));
    const { shape, data } = await captionedRows(rows, { gap: 2, scale: 2, group: 2 });
    const column = Array.from({ length: shape[0] }, (_, y) => data[(y * shape[1] + 16) * 3]);
    const tops = [10, 20, 30, 40].map((value) => column.indexOf(value));
    expect(tops).toEqual([14, 24, 36, 46]);
    expect(column.filter((value) => value !== 255)).toHaveLength(4 * 8);
  });

  it('is written as PNG', async () => {
    const path = join(folder, 'rows.png');
    await saveCaptionedRows(path, [{ images: row(2, 1), label: 'x' }], { title: 'A title', subtitle: 'and more' });
    expect((await sharp(path).metadata()).format).toBe('png');
    await expect(saveCaptionedRows('rows.svg', [{ images: row(2, 1) }])).rejects.toThrow('.png or .webp; got .svg');
  });

  it('refuses more captions than columns, and text of no size', async () => {
    const captions = [['a'], ['b']];
    await expect(captionedRows([{ images: row(1, 1) }], { captions })).rejects.toThrow('2 captions for 1 columns');
    await expect(captionedRows([{ images: row(1, 1) }], { textSize: 0 })).rejects.toThrow('textSize must be');
    await expect(captionedRows([{ images: row(1, 1) }], { group: 0 })).rejects.toThrow('group must be a whole number');
    await expect(captionedRows([])).rejects.toMatchObject({ code: 'ERR_SHAPE' });
  });
});

describe('scatterPlot', () => {
  it('draws every point once, a unit as long upright as along', () => {
    const svg = scatterPlot({
      sets: [{ label: 'corners', points: [0, 0, 4, 0, 4, 1, 0, 1] }],
      width: 400,
      height: 300,
    });
    const dots = [...svg.matchAll(/M([\d.]+) ([\d.]+)h0/g)].map(([, x, y]) => [Number(x), Number(y)] as const);
    expect(dots).toHaveLength(4);
    const [xs, ys] = [dots.map(([x]) => x), dots.map(([, y]) => y)];
    const [across, up] = [Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)];
    expect(across / up).toBeCloseTo(4, 1);
    expect(textsOf(svg)).toContain('corners');
  });

  it('draws so many at most, and no point that is not finite', () => {
    const points = Float32Array.from({ length: 2000 }, (_, i) => i % 97);
    const svg = scatterPlot({ sets: [{ label: 'many', points }], most: 100 });
    expect(svg.match(/h0/g)).toHaveLength(100);
    expect(scatterPlot({ sets: [{ label: 'one', points: [1, 2, Number.NaN, 3] }] }).match(/h0/g)).toHaveLength(1);
  });

  it.each([
    [{ sets: [] }, 'at least one point'],
    [{ sets: [{ label: 'odd', points: [1, 2, 3] }] }, "points 'odd' must be pairs of x and y; got 3 numbers"],
    [{ sets: [{ label: 'one', points: [1, 2] }], most: 0 }, 'most must be a whole number above 0; got 0'],
  ])('refuses %j', (options, message) => {
    expect(() => scatterPlot(options)).toThrow(message);
  });
});

describe('signalPlot', () => {
  const set = (label: string, count: number) => ({
    label,
    data: Float32Array.from({ length: count * 8 * 2 }, (_, i) => Math.sin(i)),
    shape: [count, 8, 2] as const,
  });

  it('has a column a set, a row a signal, a line a channel', () => {
    const svg = signalPlot({ title: 'Signals', sets: [set('data', 3), set('samples', 3)], rows: 2 });
    const root = parseXml(svg);
    expect(elements(root, 'svg')).toHaveLength(1 + 4);
    for (const plot of elements(root, 'svg').slice(1)) {
      expect(elements(plot, 'path').map(({ attributes }) => attributes.stroke)).toEqual(palette.slice(0, 2));
    }
    expect(textsOf(svg)).toEqual(expect.arrayContaining(['Signals', 'data', 'samples']));
  });

  it.each([
    [{ sets: [] }, 'at least one finite value'],
    [{ sets: [{ ...set('data', 2), shape: [2, 8, 1] as const }] }, "signals 'data' must have the shape"],
    [{ sets: [set('data', 1)], rows: 0 }, 'rows must be a whole number from 1 to 64; got 0'],
  ])('refuses %j', (options, message) => {
    expect(() => signalPlot(options)).toThrow(message);
  });
});
