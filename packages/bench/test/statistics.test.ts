import fc from 'fast-check';
import { expect, test } from 'vitest';
import { median, timing } from '../src/statistics.ts';

test('the median of an odd number of values is the middle one, of an even number the mean of two', () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
  expect(median([])).toBeNaN();
});

test('at least half of the values lie on either side of the median, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }), (values) => {
      const middle = median(values);
      expect(2 * values.filter((value) => value <= middle).length).toBeGreaterThanOrEqual(values.length);
      expect(2 * values.filter((value) => value >= middle).length).toBeGreaterThanOrEqual(values.length);
      expect(median([...values].reverse())).toBe(middle);
    }),
  );
});

test('a timing holds median, spread and number of runs', () => {
  expect(timing([30, 10, 20])).toEqual({ medianMs: 20, minMs: 10, maxMs: 30, runs: 3 });
});
