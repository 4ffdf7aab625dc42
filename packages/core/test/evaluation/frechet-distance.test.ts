import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import {
  type FeatureStatistics,
  featureStatistics,
  frechetDistance,
  loadStatistics,
  mergeStatistics,
  saveStatistics,
} from '../../src/evaluation/index.ts';
import { nuclearNorm } from '../../src/evaluation/linear-algebra/nuclear-norm.ts';
import { goldenCases, normalVectors, rotated, rowsBetween, shuffled, sineVectors } from './vectors.ts';

const noPause = () => undefined;

function diagonal(values: readonly number[]): Float64Array {
  const matrix = new Float64Array(values.length ** 2);
  values.forEach((value, i) => {
    matrix[i * values.length + i] = value;
  });
  return matrix;
}

/** Largest difference of two arrays, relative to the largest value. */
function relativeDifference(a: Float64Array, b: Float64Array): number {
  const largest = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0) / largest;
}

describe('nuclear norm', () => {
  test.each(goldenCases)('%s: the sum of the singular values that scipy finds', async (_, golden, { data, shape }) => {
    const transposed = Float64Array.from(data, (_, i) => {
      const [row, column] = [Math.floor(i / shape[0]), i % shape[0]];
      return data[column * shape[1] + row] as number;
    });
    const tolerance = 1e-13 * golden.singularValues;
    for (const [matrix, size] of [
      [data as Float64Array, shape],
      [transposed, [shape[1], shape[0]]],
    ] as const) {
      const norm = await nuclearNorm(matrix, size, noPause);
      expect(Math.abs(norm - golden.singularValues)).toBeLessThan(tolerance);
    }
  });

  test('closed forms: diagonal, rank one, zeros, a nilpotent matrix', async () => {
    expect(await nuclearNorm(diagonal([3, -2, 0, 1e-9]), [4, 4], noPause)).toBeCloseTo(5 + 1e-9, 14);
    const [u, v] = [
      [1, -2, 2, 4],
      [3, 0, 4],
    ] as const;
    const outer = Float64Array.from(u.flatMap((a) => v.map((b) => a * b)));
    expect(await nuclearNorm(outer, [4, 3], noPause)).toBeCloseTo(25, 12);
    expect(await nuclearNorm(new Float64Array(12), [4, 3], noPause)).toBe(0);
    expect(await nuclearNorm(Float64Array.of(0, 7, 0, 0), [2, 2], noPause)).toBeCloseTo(7, 13);
  });
});

describe('Fréchet distance', () => {
  test.each(goldenCases)('%s: as scipy has it', async (_, { frechetByProducts, frechetByRoot }, real, generated) => {
    const distance = await frechetDistance(real, generated);
    expect(Math.abs(distance - frechetByProducts)).toBeLessThan(1e-12);
    if (frechetByRoot !== undefined) expect(Math.abs(distance - frechetByRoot)).toBeLessThan(1e-11);
  });

  test.each(goldenCases)('%s: the statistics are those of numpy', async (_, golden, real) => {
    const { count, mean, covariance } = await featureStatistics(real);
    expect(count).toBe(golden.real);
    golden.mean.forEach((value, i) => {
      expect(mean[i]).toBeCloseTo(value, 14);
    });
    golden.covariance.forEach((row, i) => {
      row.forEach((value, j) => {
        expect(covariance[i * golden.dimensions + j]).toBeCloseTo(value, 14);
      });
    });
  });

  test('two Gaussians with covariances of the same axes: the closed form', async () => {
    const a: FeatureStatistics = { count: 9, mean: Float64Array.of(1, 2, 3), covariance: diagonal([4, 9, 0]) };
    const b: FeatureStatistics = { count: 9, mean: Float64Array.of(1, 0, 0), covariance: diagonal([1, 25, 2]) };
    // |m|^2 = 4 + 9; sum of (s1 - s2)^2 = 1 + 4 + 2
    expect(await frechetDistance(a, b)).toBeCloseTo(20, 12);
  });

  test('two correlated Gaussians in the plane: trace of the root from trace and determinant', async () => {
    const a = { count: 9, mean: Float64Array.of(0, 0), covariance: Float64Array.of(2, 0.5, 0.5, 1) };
    const b = { count: 9, mean: Float64Array.of(0, 0), covariance: Float64Array.of(1, -0.8, -0.8, 3) };
    const traceOfProduct = 2 * 1 + 2 * 0.5 * -0.8 + 1 * 3;
    const determinants = (2 * 1 - 0.25) * (1 * 3 - 0.64);
    const expected = 7 - 2 * Math.sqrt(traceOfProduct + 2 * Math.sqrt(determinants));
    expect(await frechetDistance(a, b)).toBeCloseTo(expected, 13);
  });

  test('a set has no distance to itself, also with fewer vectors than dimensions', async () => {
    for (const [, , real] of goldenCases) expect(await frechetDistance(real, shuffled(real, 1))).toBeLessThan(1e-12);
    const same = { data: new Float32Array(12).fill(0.3), shape: [4, 3] as const };
    expect(await frechetDistance(same, same)).toBe(0);
  });

  test('symmetric, never negative, blind to order and to rotations of the space', async () => {
    const sets = fc.record({
      dimensions: fc.integer({ min: 1, max: 7 }),
      counts: fc.tuple(fc.integer({ min: 2, max: 30 }), fc.integer({ min: 2, max: 30 })),
      seed: fc.integer({ min: 0, max: 1e6 }),
      spread: fc.double({ min: 0.1, max: 10, noNaN: true }),
    });
    const property = fc.asyncProperty(sets, async ({ dimensions, counts, seed, spread }) => {
      const a = normalVectors(seed, counts[0], dimensions);
      const b = normalVectors(seed + 1, counts[1], dimensions, spread, 1);
      const distance = await frechetDistance(a, b);
      const tolerance = 1e-7 * (1 + spread * spread);
      expect(distance).toBeGreaterThanOrEqual(0);
      const others = [
        await frechetDistance(b, a),
        await frechetDistance(shuffled(a, seed), shuffled(b, seed + 5)),
        await frechetDistance(rotated(a, seed), rotated(b, seed)),
      ];
      for (const other of others) expect(Math.abs(other - distance)).toBeLessThan(tolerance * dimensions ** 2);
    });
    await fc.assert(property, { numRuns: 60, seed: 1 });
  });
});

describe('statistics', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'diffuse-statistics-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('batches merge to the whole', async () => {
    const whole = normalVectors(3, 1100, 6, 2, 100);
    const expected = await featureStatistics(whole);
    const [first, ...rest] = await Promise.all(
      [
        [0, 1],
        [1, 3],
        [3, 700],
        [700, 1100],
      ].map(([begin = 0, end = 0]) => featureStatistics(rowsBetween(whole, begin, end))),
    );
    const merged = rest.reduce(mergeStatistics, first as FeatureStatistics);
    expect(merged.count).toBe(1100);
    expect(relativeDifference(expected.mean, merged.mean)).toBeLessThan(1e-14);
    expect(relativeDifference(expected.covariance, merged.covariance)).toBeLessThan(1e-13);
  });

  test('float32 vectors are summed in float64', async () => {
    const data = Float32Array.from({ length: 3000 }, (_, i) => 1e4 + (i % 3));
    const { mean, covariance } = await featureStatistics({ data, shape: [3000, 1] });
    expect(mean[0]).toBeCloseTo(10_001, 10);
    expect(covariance[0]).toBeCloseTo((2 / 3) * (3000 / 2999), 12);
  });

  test('a file keeps every bit', async () => {
    const statistics = await featureStatistics(sineVectors(7, 12, 5));
    const path = join(folder, 'statistics.safetensors');
    await saveStatistics(path, statistics);
    expect(await loadStatistics(path)).toEqual(statistics);
  });

  test.each([
    ['count', { count: [0n] }, /count must be a whole number, at least 1; got 0/],
    ['mean', { mean: [Number.NaN, 0] }, /mean must be finite; \[0\] is NaN/],
    ['covariance', { covariance: [1, 2, 2.1, 5] }, /covariance must be symmetric; \[1, 0\] is 2.1, \[0, 1\] is 2/],
    ['size', { mean: [1] }, /covariance must have 1 x 1 elements, to fit the mean of 1; it has 4/],
  ])('a file with a wrong %s is refused by name', async (name, wrong, message) => {
    const { count, mean, covariance } = { count: [3n], mean: [1, 2], covariance: [1, 0, 0, 1], ...wrong };
    const path = join(folder, `${name}.safetensors`);
    await writeSafetensors(path, [
      { name: 'count', dtype: 'I64', shape: [1], data: () => BigInt64Array.from(count) },
      { name: 'mean', dtype: 'F64', shape: [mean.length], data: () => Float64Array.from(mean) },
      { name: 'covariance', dtype: 'F64', shape: [4], data: () => Float64Array.from(covariance) },
    ]);
    await expect(loadStatistics(path)).rejects.toThrow(message);
    await expect(loadStatistics(path)).rejects.toThrow(path);
  });

  test('a file that holds something else is refused', async () => {
    const path = join(folder, 'other.safetensors');
    await writeSafetensors(path, [{ name: 'count', dtype: 'I32', shape: [1], data: () => Int32Array.of(3) }]);
    await expect(loadStatistics(path)).rejects.toThrow(/tensor 'count' is I32; expected I64/);
    await writeFile(path, 'no tensors');
    await expect(loadStatistics(path)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' });
  });
});

describe('refuses', () => {
  const good = sineVectors(1, 4, 2);
  test.each([
    ['one vector', sineVectors(1, 1, 2), 'ERR_ARGUMENT', /a covariance needs at least 2 vectors; generated has 1/],
    ['other dimensions', sineVectors(1, 4, 3), 'ERR_SHAPE', /real has vectors of 2 dimensions, generated of 3/],
    [
      'a NaN',
      { data: Float32Array.of(1, 2, 3, Number.NaN), shape: [2, 2] as const },
      'ERR_NON_FINITE',
      /generated must be finite; the value at \[1, 1\] is NaN/,
    ],
    ['missing values', { data: new Float32Array(3), shape: [2, 2] as const }, 'ERR_SHAPE', /has 4 values; got 3/],
    ['a list', { data: [1, 2, 3, 4] as never, shape: [2, 2] as const }, 'ERR_DTYPE', /must be a Float32Array/],
    ['no shape', { data: new Float32Array(3), shape: [3] as never }, 'ERR_SHAPE', /\[count, dimensions\]; got \[3\]/],
    [
      'an indefinite covariance',
      { count: 5, mean: new Float64Array(2), covariance: Float64Array.of(1, 2, 2, 1) },
      'ERR_ARGUMENT',
      /the covariance of generated is no covariance: it is not positive semi-definite/,
    ],
    [
      'a negative variance',
      { count: 5, mean: new Float64Array(2), covariance: diagonal([-1, 0]) },
      'ERR_ARGUMENT',
      /not positive semi-definite/,
    ],
  ])('%s', async (_, generated, code, message) => {
    await expect(frechetDistance(good, generated)).rejects.toThrow(message);
    await expect(frechetDistance(good, generated)).rejects.toMatchObject({ code });
  });

  test('to go on when cancelled, before and while computing', async () => {
    const controller = new AbortController();
    const set = normalVectors(1, 3000, 160);
    const work = frechetDistance(set, set, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(work).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    await expect(frechetDistance(good, good, { signal: AbortSignal.abort() })).rejects.toThrow(
      /cancelled while computing the Fréchet distance/,
    );
  });
});
