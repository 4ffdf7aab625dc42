import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createScale, extentOf } from '../../src/charts/scale.ts';

const labels = (scale: ReturnType<typeof createScale>): string[] => scale.ticks.map(scale.format);

describe('a linear scale', () => {
  it.each([
    [[0, 999], 5, ['0', '200', '400', '600', '800']],
    [[1, 1000], 5, ['200', '400', '600', '800', '1,000']],
    [[0, 1], 4, ['0.00', '0.25', '0.50', '0.75', '1.00']],
    [[-1.3, 2.2], 5, ['−1', '0', '1', '2']],
    [[0.0001, 0.02], 4, ['0.005', '0.010', '0.015', '0.020']],
    [[2e6, 9e6], 4, ['2×10⁶', '4×10⁶', '6×10⁶', '8×10⁶']],
    [[1e-8, 3.2e-8], 3, ['10⁻⁸', '2×10⁻⁸', '3×10⁻⁸']],
  ] as const)('over %j with %d ticks has %j', (extent, ticks, expected) => {
    expect(labels(createScale({ name: 'linear', extent, ticks }))).toEqual(expected);
  });

  it('moves its ends outwards to ticks when asked', () => {
    const scale = createScale({ name: 'linear', extent: [0.03, 0.97], ticks: 5, nice: true });
    expect(scale.domain).toEqual([0, 1]);
    expect([0, 0.25, 1].map(scale.position)).toEqual([0, 0.25, 1]);
  });

  it('makes room around a single value, and without any', () => {
    expect(createScale({ name: 'linear', extent: [4, 4] }).domain).toEqual([2, 6]);
    expect(createScale({ name: 'linear', extent: [0, 0] }).domain).toEqual([-1, 1]);
    expect(createScale({ name: 'linear', extent: [Infinity, -Infinity] }).domain).toEqual([0, 1]);
  });

  it('has round, even, increasing ticks inside any domain', () => {
    const number = fc.double({ min: -1e9, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(number, number, fc.integer({ min: 2, max: 12 }), (a, b, ticks) => {
        fc.pre(Math.abs(a - b) > 1e-6 * Math.max(Math.abs(a), Math.abs(b), 1e-9));
        const scale = createScale({ name: 'linear', extent: [Math.min(a, b), Math.max(a, b)], ticks });
        const [low, high] = scale.domain;
        const slack = (high - low) * 1e-6;
        expect(scale.ticks.length).toBeGreaterThan(0);
        expect(scale.ticks.length).toBeLessThanOrEqual(ticks + 1);
        scale.ticks.forEach((tick, i) => {
          expect(tick).toBeGreaterThanOrEqual(low - slack);
          expect(tick).toBeLessThanOrEqual(high + slack);
          const next = scale.ticks[i + 1];
          if (next !== undefined) expect(next).toBeGreaterThan(tick);
        });
        expect(new Set(labels(scale)).size).toBe(scale.ticks.length);
      }),
    );
  });
});

describe('a log scale', () => {
  it.each([
    [[1, 1000], 5, ['1', '10', '100', '1,000']],
    [[1e-9, 1e6], 5, ['10⁻⁹', '10⁻⁶', '10⁻³', '1', '10³', '10⁶']],
    [[3, 40], 5, ['5', '10', '20']],
    [[100, 180], 4, ['100', '120', '140', '160', '180']],
    [[1e-4, 0.5], 4, ['10⁻⁴', '10⁻³', '10⁻²', '10⁻¹']],
  ] as const)('over %j with %d ticks has %j', (extent, ticks, expected) => {
    expect(labels(createScale({ name: 'log', extent, ticks }))).toEqual(expected);
  });

  it('has the multiples of powers of ten as minor ticks', () => {
    const { minorTicks } = createScale({ name: 'log', extent: [1, 100] });
    expect(minorTicks).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 20, 30, 40, 50, 60, 70, 80, 90]);
  });

  it('has no place for what is not above 0, and equal steps for equal factors', () => {
    const { position } = createScale({ name: 'log', extent: [0.01, 100] });
    expect(position(0)).toBeNaN();
    expect(position(-1)).toBeNaN();
    for (const [value, place] of [
      [0.01, 0],
      [0.1, 0.25],
      [1, 0.5],
      [100, 1],
    ] as const) {
      expect(position(value)).toBeCloseTo(place, 12);
    }
  });

  it('has increasing ticks with different labels inside any domain', () => {
    const exponent = fc.double({ min: -30, max: 30, noNaN: true });
    fc.assert(
      fc.property(exponent, exponent, (a, b) => {
        fc.pre(Math.abs(a - b) > 0.01);
        const scale = createScale({ name: 'log', extent: [10 ** Math.min(a, b), 10 ** Math.max(a, b)] });
        const places = scale.ticks.map(scale.position);
        for (const place of places) expect(Math.abs(place - 0.5)).toBeLessThanOrEqual(0.5 + 1e-6);
        expect([...places].sort((x, y) => x - y)).toEqual(places);
        expect(places.length).toBeGreaterThan(0);
        expect(new Set(labels(scale)).size).toBe(places.length);
      }),
    );
  });
});

describe('a scale', () => {
  it.each([
    ['linear', [1, 1]],
    ['linear', [2, 1]],
    ['linear', [0, Infinity]],
    ['log', [0, 1]],
    ['log', [Number.NaN, 1]],
  ] as const)('refuses the %s domain %j', (name, domain) => {
    expect(() => createScale({ name, extent: [0, 1], domain })).toThrow(
      expect.objectContaining({
        code: 'ERR_ARGUMENT',
        message: expect.stringContaining('a domain must be two finite'),
      }),
    );
  });

  it('takes ticks as they are given, those outside left out', () => {
    const scale = createScale({
      name: 'linear',
      extent: [0, 10],
      ticks: [-5, 0, 3, 20],
      format: (value) => `${value} s`,
    });
    expect(labels(scale)).toEqual(['0 s', '3 s']);
  });

  it('counts only values that it can show', () => {
    expect(
      extentOf('linear', [
        [Number.NaN, 3],
        [-1, Infinity],
      ]),
    ).toEqual([-1, 3]);
    expect(extentOf('log', [[0, -2, 5, 0.5]])).toEqual([0.5, 5]);
    expect(extentOf('log', [[0]])).toEqual([Infinity, -Infinity]);
  });
});
