import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { energyDistance, inceptionScore, kernelDistance, precisionRecall } from '../../src/evaluation/index.ts';
import {
  goldenCases,
  goldenLine,
  goldenScores,
  normalVectors,
  rotated,
  rowsBetween,
  shuffled,
  sineVectors,
} from './vectors.ts';

const pairs = fc.record({
  dimensions: fc.integer({ min: 1, max: 6 }),
  counts: fc.tuple(fc.integer({ min: 5, max: 30 }), fc.integer({ min: 5, max: 30 })),
  seed: fc.integer({ min: 0, max: 1e6 }),
});

describe('kernel distance', () => {
  test.each(goldenCases)('%s: the unbiased estimate over all pairs, by numpy', async (_, golden, real, generated) => {
    const size = Math.min(golden.real, golden.generated);
    const sets = [rowsBetween(real, 0, size), rowsBetween(generated, 0, size)] as const;
    const { mean, deviation, subsets } = await kernelDistance(...sets);
    expect(mean).toBeCloseTo(golden.kernel, 12);
    expect({ deviation, subsets }).toEqual({ deviation: 0, subsets: 1 });
  });

  test('subsets: the seed decides, their mean comes near the whole, larger ones vary less', async () => {
    const [real, generated] = [normalVectors(1, 300, 3, 0.5), normalVectors(2, 300, 3, 0.5, 0.3)];
    const whole = await kernelDistance(real, generated);
    const small = await kernelDistance(real, generated, { subsets: 60, subsetSize: 30, seed: 4 });
    const large = await kernelDistance(real, generated, { subsets: 60, subsetSize: 150, seed: 4 });
    expect(await kernelDistance(real, generated, { subsets: 60, subsetSize: 30, seed: 4 })).toEqual(small);
    expect(await kernelDistance(real, generated, { subsets: 60, subsetSize: 30, seed: 5 })).not.toEqual(small);
    expect(small.deviation).toBeGreaterThan(large.deviation);
    // Five standard errors, as if the subsets were independent.
    expect(Math.abs(small.mean - whole.mean)).toBeLessThan((5 * small.deviation) / Math.sqrt(60));
    expect(small).toMatchObject({ subsets: 60, subsetSize: 30 });
  });

  test('has no bias: two sets of one law are 0 on average', async () => {
    const values = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        kernelDistance(normalVectors(2 * i, 40, 2), normalVectors(2 * i + 1, 40, 2)),
      ),
    );
    const means = values.map(({ mean }) => mean);
    const average = means.reduce((sum, value) => sum + value, 0) / means.length;
    const variance = means.reduce((sum, value) => sum + (value - average) ** 2, 0) / (means.length - 1);
    expect(Math.abs(average)).toBeLessThan(4 * Math.sqrt(variance / means.length));
    expect(means.some((value) => value < 0)).toBe(true);
  });

  test('symmetric; blind to order and rotation', async () => {
    const property = fc.asyncProperty(pairs, async ({ dimensions, counts: [count], seed }) => {
      const [a, b] = [normalVectors(seed, count, dimensions), normalVectors(seed + 1, count, dimensions, 2, 1)];
      const { mean } = await kernelDistance(a, b);
      const others = [
        await kernelDistance(b, a),
        await kernelDistance(shuffled(a, seed), b),
        await kernelDistance(rotated(a, seed), rotated(b, seed)),
      ];
      for (const other of others) expect(Math.abs(other.mean / mean - 1)).toBeLessThan(1e-9);
    });
    await fc.assert(property, { numRuns: 40, seed: 2 });
  });
});

describe('precision and recall', () => {
  test.each(goldenCases)('%s: balls by scipy', async (_, golden, real, generated) => {
    for (const [neighbours, expected] of Object.entries(golden.manifolds)) {
      expect(await precisionRecall(real, generated, { neighbours: Number(neighbours) })).toEqual(expected);
    }
  });

  test('one set: all is covered; far sets: nothing', async () => {
    const set = normalVectors(5, 50, 3);
    const same = await precisionRecall(set, shuffled(set, 2));
    expect(same).toMatchObject({ precision: 1, recall: 1, coverage: 1 });
    const far = { data: set.data.map((value) => value + 1e4) as Float64Array, shape: set.shape };
    expect(await precisionRecall(set, far)).toEqual({ precision: 0, recall: 0, density: 0, coverage: 0 });
  });

  test('half of the modes: precise, half recalled', async () => {
    const real = normalVectors(6, 80, 2);
    const data = Float64Array.from([...real.data, ...real.data.map((value) => value + 1e3)]);
    expect(await precisionRecall({ data, shape: [160, 2] }, real)).toMatchObject({ precision: 1, recall: 0.5 });
  });

  test('precision of one is recall of the other; blind to order', async () => {
    const property = fc.asyncProperty(pairs, async ({ dimensions, counts, seed }) => {
      const a = normalVectors(seed, counts[0], dimensions);
      const b = normalVectors(seed + 1, counts[1], dimensions, 1.5);
      const { precision, recall, density, coverage } = await precisionRecall(a, b);
      expect(await precisionRecall(b, a)).toMatchObject({ precision: recall, recall: precision });
      expect(await precisionRecall(shuffled(a, 3), shuffled(b, 4))).toEqual({ precision, recall, density, coverage });
    });
    await fc.assert(property, { numRuns: 40, seed: 3 });
  });

  test('copies of one vector have balls without size', async () => {
    const copies = { data: new Float32Array(10).fill(0.1), shape: [5, 2] as const };
    expect(await precisionRecall(copies, copies)).toMatchObject({ precision: 1, recall: 1 });
  });
});

describe('Inception score', () => {
  const exponentials = Float64Array.from(sineVectors(3, 60, 4).data, (value) => Math.exp(3 * value));
  const data = exponentials.map((value, i) => {
    const row = 4 * Math.floor(i / 4);
    return value / exponentials.subarray(row, row + 4).reduce((sum, other) => sum + other, 0);
  }) as Float64Array;

  test.each(Object.entries(goldenScores))('%s splits, by numpy', async (splits, expected) => {
    const score = await inceptionScore({ data, shape: [60, 4] }, { splits: Number(splits) });
    expect(score.mean).toBeCloseTo(expected.mean, 13);
    expect(score.deviation).toBeCloseTo(expected.deviation, 13);
  });

  test('sure and even: the number of classes; all alike: 1', async () => {
    const sure = Float32Array.from({ length: 40 * 5 }, (_, i) => Number(i % 5 === Math.floor(i / 5) % 5));
    expect((await inceptionScore({ data: sure, shape: [40, 5] }, { splits: 4 })).mean).toBeCloseTo(5, 12);
    const alike = Float32Array.from({ length: 40 * 5 }, (_, i) => [0.5, 0.25, 0.25, 0, 0][i % 5] as number);
    expect((await inceptionScore({ data: alike, shape: [40, 5] })).mean).toBeCloseTo(1, 12);
  });

  test('every image counts when the splits do not come out even', async () => {
    const odd = Float32Array.from({ length: 14 }, (_, i) => Number(i % 2 === (i < 12 ? 0 : 1)));
    // Six images of the first class, one of the second, in two splits of 3 and 4.
    const marginal = Math.exp(0.75 * Math.log(1 / 0.75) + 0.25 * Math.log(1 / 0.25));
    const { mean } = await inceptionScore({ data: odd, shape: [7, 2] }, { splits: 2 });
    expect(mean).toBeCloseTo((1 + marginal) / 2, 12);
  });

  test('refuses what are no probabilities', async () => {
    const shape = [2, 2] as const;
    await expect(inceptionScore({ data: Float32Array.of(1, 0, 0.5, 0.6), shape }, { splits: 1 })).rejects.toThrow(
      /must sum to 1; those of 1 sum to 1.1/,
    );
    await expect(inceptionScore({ data: Float32Array.of(1, 0, 1.5, -0.5), shape }, { splits: 1 })).rejects.toThrow(
      /must not be negative; \[1, 1\] is -0.5/,
    );
    await expect(inceptionScore({ data: Float32Array.of(1, 0, 1, 0), shape })).rejects.toThrow(
      /an Inception score of 10 splits needs at least 10 vectors; probabilities has 2/,
    );
  });
});

describe('energy distance', () => {
  test.each(goldenCases)('%s: all pairs by scipy', async (_, golden, real, generated) => {
    expect(await energyDistance(real, generated)).toBeCloseTo(golden.energy, 12);
  });

  test("on the line: the square of scipy's", async () => {
    const distance = await energyDistance(sineVectors(1, goldenLine.real, 1), sineVectors(2, goldenLine.generated, 1));
    expect(Math.sqrt(distance)).toBeCloseTo(goldenLine.energyRoot, 12);
  });

  test('two points: twice their distance', async () => {
    const at = (...data: number[]) => ({ data: Float32Array.from(data), shape: [1, 2] as const });
    expect(await energyDistance(at(0, 0), at(3, 4))).toBe(10);
    expect(await energyDistance(at(3, 4), at(3, 4))).toBe(0);
  });

  test('symmetric, never negative, 0 for a set and itself; blind to order and rotation', async () => {
    const property = fc.asyncProperty(pairs, async ({ dimensions, counts, seed }) => {
      const a = normalVectors(seed, counts[0], dimensions);
      const b = normalVectors(seed + 1, counts[1], dimensions, 1.2, 0.5);
      const distance = await energyDistance(a, b);
      expect(distance).toBeGreaterThanOrEqual(0);
      expect(await energyDistance(a, shuffled(a, seed))).toBeLessThan(1e-13 * dimensions);
      const others = [
        await energyDistance(b, a),
        await energyDistance(a, shuffled(b, seed)),
        await energyDistance(rotated(a, seed), rotated(b, seed)),
      ];
      for (const other of others) expect(Math.abs(other - distance)).toBeLessThan(1e-12 * (1 + distance));
    });
    await fc.assert(property, { numRuns: 40, seed: 4 });
  });
});

describe('refuse', () => {
  const set = sineVectors(1, 6, 2);
  test.each([
    ['kernel', () => kernelDistance(set, sineVectors(1, 1, 2)), /kernel distance needs at least 2 vectors/],
    [
      'kernel',
      () => kernelDistance(set, set, { subsetSize: 7 }),
      /subsetSize must be a whole number from 2 to 6; got 7/,
    ],
    ['kernel', () => kernelDistance(set, set, { subsets: 0 }), /subsets must be a whole number from 1 to/],
    ['kernel', () => kernelDistance(set, set, { seed: -1, subsetSize: 3 }), /seed must be an integer from 0/],
    [
      'precision',
      () => precisionRecall(set, set, { neighbours: 6 }),
      /with 6 neighbours needs at least 7 vectors; real/,
    ],
    ['precision', () => precisionRecall(set, set, { neighbours: 1.5 }), /neighbours must be a whole number/],
    ['energy', () => energyDistance(set, sineVectors(1, 6, 3)), /real has vectors of 2 dimensions, generated of 3/],
    ['energy', () => energyDistance(set, sineVectors(1, 0, 2)), /needs at least 1 vectors; generated has 0/],
    ['splits', () => inceptionScore(set, { splits: 0 }), /splits must be a whole number/],
  ])('%s', async (_, act, message) => {
    await expect(act()).rejects.toThrow(message);
  });

  test('to go on when cancelled', async () => {
    const large = normalVectors(1, 4000, 8);
    for (const measure of [kernelDistance, precisionRecall, energyDistance]) {
      const controller = new AbortController();
      const work = measure(large, large, { signal: controller.signal });
      setTimeout(() => controller.abort(), 10);
      await expect(work).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    }
  });
});
