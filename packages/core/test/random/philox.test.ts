import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type PhiloxCounter,
  type PhiloxKey,
  Purpose,
  permutation,
  philox,
  splitSeed,
} from '../../src/random/philox.ts';
import { hasMoments, kolmogorovDistance, normals, uniforms } from './normal.ts';

const ONES = 0xffffffff;

describe('philox', () => {
  // Random123 1.14, tests/kat_vectors, "philox4x32 10".
  test.each<[string, PhiloxKey, PhiloxCounter, number[]]>([
    ['zeros', [0, 0], [0, 0, 0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    ['ones', [ONES, ONES], [ONES, ONES, ONES, ONES], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [
      'digits of pi',
      [0xa4093822, 0x299f31d0],
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('gives the known answer to %s', (_, key, counter, answer) => {
    expect(philox(key, counter)).toEqual(answer);
  });

  test('agrees with the definition in exact integers', () => {
    const mask = 0xffffffffn;
    const reference = (key: readonly number[], counter: readonly number[]): number[] => {
      let [k0, k1] = key.map(BigInt) as [bigint, bigint];
      let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
      for (let round = 0; round < 10; round++) {
        const product0 = 0xd2511f53n * c0;
        const product1 = 0xcd9e8d57n * c2;
        [c0, c1, c2, c3] = [(product1 >> 32n) ^ c1 ^ k0, product1 & mask, (product0 >> 32n) ^ c3 ^ k1, product0 & mask];
        k0 = (k0 + 0x9e3779b9n) & mask;
        k1 = (k1 + 0xbb67ae85n) & mask;
      }
      return [c0, c1, c2, c3].map(Number);
    };
    const word = fc.integer({ min: 0, max: ONES });
    fc.assert(
      fc.property(fc.tuple(word, word), fc.tuple(word, word, word, word), (key, counter) => {
        expect(philox(key, counter)).toEqual(reference(key, counter));
      }),
    );
  });

  test('is uniform, and normal after the Box-Muller transform, by the Kolmogorov test', () => {
    const count = 50_000;
    // P(D > 1.95 / sqrt(n)) is 0.001 under the hypothesis.
    const bound = 1.95 / Math.sqrt(count);
    expect(kolmogorovDistance(uniforms(7, count), (x) => x)).toBeLessThan(bound);
    expect(kolmogorovDistance(normals(8, count), normalCdf)).toBeLessThan(bound);
    expect(hasMoments(normals(9, count), 0, 1)).toBe(true);
  });
});

/** The standard normal distribution function, by its series around 0 (Abramowitz and Stegun 26.2.11). */
function normalCdf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 3; Math.abs(term) > 1e-17; n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

describe('splitSeed', () => {
  test('splits into two uint32 that make the seed again', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (seed) => {
        const [lo, hi] = splitSeed(seed);
        expect(lo + hi * 2 ** 32).toBe(seed);
        expect([lo >>> 0, hi >>> 0]).toEqual([lo, hi]);
        expect(splitSeed(BigInt(seed))).toEqual([lo, hi]);
      }),
    );
    expect(splitSeed(Number.MAX_SAFE_INTEGER)).toEqual([0xffffffff, 0x1fffff]);
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53, -1n, 2n ** 53n, 2n ** 64n])('refuses %s', (seed) => {
    expect(() => splitSeed(seed)).toThrow(`seed must be an integer from 0 to 2^53 - 1, got ${seed}`);
  });
});

describe('permutation', () => {
  test('is a permutation, the same for the same seed and epoch', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(1000), fc.nat(300), (seed, epoch, count) => {
        const order = permutation(seed, epoch, count);
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
        expect(permutation(seed, epoch, count)).toEqual(order);
      }),
    );
  });

  test('differs between seeds and epochs', () => {
    const orders = [permutation(1, 0, 100), permutation(1, 1, 100), permutation(2, 0, 100)].map(String);
    expect(new Set(orders).size).toBe(3);
  });

  test('gives every order of four elements equally often', () => {
    const runs = 24_000;
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < runs; epoch++) {
      const order = String(permutation(5, epoch, 4));
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const expected = runs / 24;
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquare).toBeLessThan(49.7); // 0.1 % point of 23 degrees of freedom
  });

  test('uses numbers that nothing else uses', () => {
    expect(new Set(Object.values(Purpose)).size).toBe(Object.keys(Purpose).length);
  });

  test('refuses an epoch or a count out of range', () => {
    expect(() => permutation(0, -1, 4)).toThrow('epoch must be an integer from 0 to 2^32 - 1, got -1');
    expect(() => permutation(0, 2 ** 32, 4)).toThrow('epoch must be');
    expect(() => permutation(0, 0, 1.5)).toThrow('count must be an integer from 0 to 2^31 - 1, got 1.5');
    expect(() => permutation(0, 0, 2 ** 31)).toThrow('count must be');
  });
});
