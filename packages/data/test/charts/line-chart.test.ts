import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { textLength } from '../../src/charts/text.ts';
import { palette, papers } from '../../src/charts/theme.ts';
import { chartGrid, lineChart, type Series } from '../../src/index.ts';
import { elements, parseXml, textsOf } from './xml.ts';

/** Vertices of the lines of a chart, in pixels. */
function lines(svg: string): (readonly [x: number, y: number])[][] {
  const plots = elements(parseXml(svg), 'svg').slice(1);
  return plots
    .flatMap((plot) => elements(plot, 'path'))
    .map(({ attributes }) =>
      [...(attributes.d ?? '').matchAll(/(-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const),
    );
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('lineChart', () => {
  it('is one well-formed document with title, axes and data', () => {
    const svg = lineChart({
      title: 'Title',
      subtitle: 'below it',
      x: { label: 'step' },
      y: { label: 'loss' },
      series: [{ label: 'one', y: [0, 1, 4, 9, 16] }],
    });
    const root = parseXml(svg);
    expect(root.name).toBe('svg');
    expect(root.attributes).toMatchObject({
      width: '680',
      height: '400',
      viewBox: '0 0 680 400',
      'aria-label': 'Title',
    });
    expect(textsOf(svg)).toEqual(
      expect.arrayContaining(['Title', 'below it', 'step', 'loss', 'one', '0', '5', '20', '4.0']),
    );
  });

  it('puts values where its ticks say they are', () => {
    const svg = lineChart({
      y: { domain: [0, 10] },
      x: { ticks: [0, 1, 2, 3, 4] },
      series: [{ y: [0, 10, 0, 2.5, 10] }],
    });
    const tick = (label: string, anchor: string, axis: 'x' | 'y'): number => {
      const found = elements(parseXml(svg), 'text').find(
        ({ text, attributes }) => text === label && attributes['text-anchor'] === anchor,
      );
      return Number(found?.attributes[axis]);
    };
    const [points = []] = lines(svg);
    // The base line of a label is 4 pixels below its tick.
    const [zero, ten] = [tick('0', 'end', 'y') - 4, tick('10', 'end', 'y') - 4];
    const expected = [zero, ten, zero, zero + (ten - zero) / 4, ten];
    points.forEach(([x, y], i) => {
      expect(y).toBeCloseTo(expected[i] as number, 1);
      expect(x).toBeCloseTo(tick(String(i), 'middle', 'x'), 1);
    });
    expect(points).toHaveLength(5);
  });

  it('leaves gaps where values are missing, and on log scales where they are not above 0', () => {
    const y = [1, 10, Number.NaN, 100, 1000, 0, 10, -1, 5];
    const pieces = (svg: string): number => (svg.match(/<svg x=.*? d="([^"]*)"/s)?.[1] ?? '').split('M').length - 1;
    expect(pieces(lineChart({ series: [{ y }] }))).toBe(2);
    expect(pieces(lineChart({ y: { scale: 'log' }, series: [{ y }] }))).toBe(4);
    expect(pieces(lineChart({ series: [{ y: [1, Infinity, 2] }] }))).toBe(2);
  });

  it('names series beside their ends where there is room, else in a key', () => {
    const apart = { label: 'upper one', y: [0, 1, 9] };
    const below = { label: 'lower one', y: [5, 1, 0] };
    const nameX = (series: Series[], label: string): number => {
      const texts = elements(parseXml(lineChart({ series })), 'text');
      return Number(texts.find(({ text }) => text === label)?.attributes.x);
    };
    expect(nameX([apart, below], 'lower one')).toBeGreaterThan(600);
    expect(
      nameX([apart, { ...below, y: [5, 1, 9] }, { ...below, label: 'third', y: [1, 1, 9] }], 'lower one'),
    ).toBeLessThan(300);
    expect(nameX([apart, { ...below, y: [5, 1, Number.NaN] }], 'lower one')).toBeLessThan(300);
  });

  it('leaves room in the key for a viewer whose letters are a fifth wider', () => {
    const labels = ['beta (fixed-large)', 'of the posterior (fixed-small)', 'a third'];
    const svg = parseXml(lineChart({ series: labels.map((label) => ({ label, y: [0, 1] })), names: 'key' }));
    const begins = labels.map((label) => elements(svg, 'text').find(({ text }) => text === label)?.attributes.x);
    const swatches = elements(svg, 'path').flatMap(
      ({ attributes: { d = '' } }) => /^M(\S+) \S+h22$/.exec(d)?.[1] ?? [],
    );
    expect(swatches).toHaveLength(3);
    for (const [i, swatch] of swatches.slice(1).entries()) {
      expect(Number(begins[i]) + 1.2 * textLength(labels[i] as string, 13)).toBeLessThan(Number(swatch) - 10);
    }
  });

  it('tells more series apart than there are colours', () => {
    const series = range(palette.length + 2).map((i) => ({ y: [i, i + 1] }));
    const plots = elements(parseXml(lineChart({ series })), 'svg').slice(1);
    const paths = plots.flatMap((plot) => elements(plot, 'path'));
    const looks = paths.map(({ attributes }) => [attributes.stroke, attributes['stroke-dasharray']].join());
    expect(new Set(looks).size).toBe(series.length);
  });

  it('escapes what users write', () => {
    const nasty = `<b>&"'\u0000\ud800]]> ∂ 漢`;
    const texts = textsOf(
      lineChart({
        title: nasty,
        x: { label: nasty },
        annotations: [{ x: 1, text: nasty }],
        series: [{ label: nasty, y: [1, 2] }],
      }),
    );
    expect(texts.filter((each) => each === `<b>&"'\ufffd\ufffd]]> ∂ 漢`)).toHaveLength(4);
  });

  it('draws remarks inside the plot and leaves out others', () => {
    const annotations = [
      { x: 1, text: 'upright' },
      { y: 2, text: 'level' },
      { x: 1, y: 2, text: 'point' },
      { x: 99, text: 'outside' },
    ];
    const texts = textsOf(lineChart({ annotations, series: [{ y: [1, 2, 3] }] }));
    expect(texts).toEqual(expect.arrayContaining(['upright', 'level', 'point']));
    expect(texts).not.toContain('outside');
  });

  it('is well-formed and finite whatever the numbers are, and the same each time', () => {
    const series = fc.array(
      fc.record({ label: fc.string({ unit: 'binary' }), y: fc.array(fc.double(), { maxLength: 40 }) }),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    const scale = fc.constantFrom('linear' as const, 'log' as const);
    fc.assert(
      fc.property(series, scale, scale, fc.string({ unit: 'binary' }), (all, x, y, title) => {
        const finite = (value: number): boolean => Number.isFinite(value) && (y === 'linear' || value > 0);
        // On a log axis the first point, at 0, has no place.
        fc.pre(all.some((each) => each.y.slice(x === 'log' ? 1 : 0).some(finite)));
        const options = { title, x: { scale: x }, y: { scale: y }, series: all };
        const svg = lineChart(options);
        const root = parseXml(svg);
        expect(lineChart(options)).toBe(svg);
        for (const name of ['path', 'circle', 'rect', 'g']) {
          for (const { attributes } of elements(root, name)) {
            expect(Object.values(attributes).join(' ')).not.toMatch(/NaN|Infinity|undefined|e[+-]?\d/);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('draws many points in few bytes without losing a peak', () => {
    const y = Float64Array.from({ length: 200_000 }, (_, i) =>
      i === 123_456 ? 50 : Math.sin(i / 5000) + ((i * 7919) % 13) / 13,
    );
    const svg = lineChart({ y: { domain: [-2, 60] }, series: [{ y }] });
    expect(svg.length).toBeLessThan(80_000);
    const [points = []] = lines(svg);
    const [top, low] = [Math.min(...points.map(([, py]) => py)), Math.max(...points.map(([, py]) => py))];
    expect(low - top).toBeGreaterThan(200);
    const straight = lineChart({ series: [{ y: range(1000) }] });
    expect(lines(straight)[0]).toHaveLength(2);
  });

  it.each([
    [{ series: [] }, 'ERR_ARGUMENT', 'a chart needs at least one series'],
    [{ series: [{ y: [] }] }, 'ERR_ARGUMENT', 'at least one point'],
    [{ series: [{ y: [Number.NaN] }] }, 'ERR_ARGUMENT', 'at least one point'],
    [{ y: { scale: 'log' as const }, series: [{ y: [-1, 0] }] }, 'ERR_ARGUMENT', 'at least one point'],
    [{ series: [{ x: [1], y: [1, 2] }] }, 'ERR_SHAPE', 'series 0 has 1 values of x and 2 of y'],
    [{ series: [{ y: [1] }], width: 5 }, 'ERR_ARGUMENT', 'width must be a number of pixels from 120 to 8192; got 5'],
    [{ series: [{ y: [1] }], y: { domain: [1, 0] as const } }, 'ERR_ARGUMENT', 'a domain must be'],
    [{ series: [{ y: [1] }], annotations: [{ text: 'where' }] }, 'ERR_ARGUMENT', "'where' needs x, y or both"],
  ])('refuses %j', (options, code, message) => {
    expect(() => lineChart(options)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });
});

describe('chartGrid', () => {
  const chart = { width: 200, height: 100, series: [{ label: 'a', y: [1, 2] }] };

  it('places charts in rows', () => {
    const root = parseXml(chartGrid({ charts: [chart, chart, chart], columns: 2 }));
    expect(root.attributes).toMatchObject({ width: '400', height: '200' });
    const places = root.children.filter(({ name }) => name === 'g').map(({ attributes }) => attributes.transform);
    expect(places).toEqual(['translate(0 0)', 'translate(200 0)', 'translate(0 100)']);
  });

  it('names the series once when asked', () => {
    const texts = (sharedKey: boolean): string[] => textsOf(chartGrid({ charts: [chart, chart], sharedKey }));
    expect(texts(false).filter((text) => text === 'a')).toHaveLength(2);
    expect(texts(true).filter((text) => text === 'a')).toHaveLength(1);
  });

  it('refuses to be empty', () => {
    expect(() => chartGrid({ charts: [] })).toThrow('at least one chart');
    expect(() => chartGrid({ charts: [chart], columns: 0 })).toThrow('columns must be a whole number above 0; got 0');
  });
});

describe('colours', () => {
  /** Relative luminance and contrast as WCAG 2 defines them. */
  const luminance = (hex: string): number => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string): number => {
    const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };

  it.each(palette)('%s stands out from light and dark paper', (colour) => {
    for (const paper of Object.values(papers)) expect(contrast(colour, paper)).toBeGreaterThanOrEqual(3);
  });
});
