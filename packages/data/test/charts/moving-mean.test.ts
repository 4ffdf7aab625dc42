import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { movingMean } from '../../src/charts/moving-mean.ts';

describe('the moving mean', () => {
  test('follows a straight line exactly and keeps constants', () => {
    expect(movingMean([1, 2, 3, 4, 5, 6], 3)).toEqual([Number.NaN, 2, 3, 4, 5, Number.NaN]);
    expect(movingMean([5], 7)).toEqual([5]);
    expect(movingMean([1, 5, 1, 5, 1], 1)).toEqual([1, 5, 1, 5, 1]);
    expect(movingMean([0, 3, 0, 3, 0], 3)[2]).toBeCloseTo(2, 12);
    expect(movingMean([1, Number.NaN, 3], 3)[1]).toBe(2);
    expect(movingMean([1, Number.NaN, 3], 1)[1]).toBeNaN();
  });

  test('has no spike at its ends: there is no mean of less than half of the window', () => {
    const noisy = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 0 : 2));
    const means = movingMean(noisy, 20);
    const drawn = means.filter((mean) => !Number.isNaN(mean));
    expect(drawn.length).toBe(190);
    for (const mean of drawn) expect(Math.abs(mean - 1)).toBeLessThan(0.1);
    expect(means.slice(0, 5).concat(means.slice(-5)).every(Number.isNaN)).toBe(true);
  });

  test('stays within the values', () => {
    const values = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 60 }), (all, window) => {
        const [low, high] = [Math.min(...all) - 1e-9, Math.max(...all) + 1e-9];
        const means = movingMean(all, window);
        expect(means).toHaveLength(all.length);
        for (const mean of means) expect(Number.isNaN(mean) || (mean >= low && mean <= high)).toBe(true);
        expect(means.some((mean) => !Number.isNaN(mean))).toBe(true);
      }),
    );
  });
});
