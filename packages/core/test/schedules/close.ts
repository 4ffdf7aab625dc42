import { expect } from 'vitest';

/** Expects |found - expected| <= tolerance * max(|expected|, floor). */
export function expectClose(found: number | undefined, expected: number, tolerance: number, floor = 0): void {
  const error = Math.abs((found ?? Number.NaN) - expected);
  expect(error, `${found} instead of ${expected}`).toBeLessThanOrEqual(tolerance * Math.max(Math.abs(expected), floor));
}

/** Expects two arrays to be close element by element, absolutely. */
export function expectAllClose(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < found.length; i++) expectClose(found[i], expected[i] as number, tolerance, 1);
}
