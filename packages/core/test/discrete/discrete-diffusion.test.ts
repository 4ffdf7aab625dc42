import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type DiscreteDiffusion,
  type DiscreteTransition,
  discreteDiffusion,
} from '../../src/discrete/discrete-diffusion.ts';
import { uniforms } from '../random/normal.ts';

const transitions: readonly DiscreteTransition[] = ['absorbing', 'uniform'];

function product(a: Float64Array, b: Float64Array, size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, k) => {
    let sum = 0;
    for (let j = 0; j < size; j++) {
      sum += (a[Math.floor(k / size) * size + j] as number) * (b[j * size + (k % size)] as number);
    }
    return sum;
  });
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));
}

function addTo(sum: Float64Array, addend: Float64Array, factor: number): void {
  for (const [i, value] of addend.entries()) sum[i] = (sum[i] as number) + factor * value;
}

/** A small diffusion of any kind. */
const arbitraryDiffusion = fc
  .record({
    transition: fc.constantFrom(...transitions),
    tokens: fc.integer({ min: 2, max: 6 }),
    steps: fc.integer({ min: 1, max: 12 }),
  })
  .map(discreteDiffusion);

describe.each(transitions)('%s transitions', (transition) => {
  const diffusion = discreteDiffusion({ tokens: 4, transition, steps: 20 });
  const { states, steps } = diffusion;

  test('the cumulative matrices are the products of the transition matrices', () => {
    let cumulative = diffusion.cumulativeMatrix(0);
    expect(largestDifference(cumulative, diffusion.transitionMatrix(0))).toBeLessThan(1e-15);
    for (let t = 1; t < steps; t++) {
      cumulative = product(cumulative, diffusion.transitionMatrix(t), states);
      expect(largestDifference(cumulative, diffusion.cumulativeMatrix(t))).toBeLessThan(1e-14);
    }
  });

  test('rows of every matrix are distributions, and the limit stays the limit', () => {
    for (let t = 0; t < steps; t++) {
      for (const matrix of [diffusion.transitionMatrix(t), diffusion.cumulativeMatrix(t)]) {
        for (let i = 0; i < states; i++) {
          const row = matrix.subarray(i * states, (i + 1) * states);
          expect(Math.min(...row)).toBeGreaterThanOrEqual(0);
          expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 14);
        }
      }
      const after = diffusion.limit.map((_, j) =>
        diffusion.limit.reduce((sum, m, i) => sum + m * (diffusion.transitionMatrix(t)[i * states + j] as number), 0),
      );
      expect(largestDifference(after, diffusion.limit)).toBeLessThan(1e-15);
    }
  });

  test('one jump and a chain of single steps have the marginals of the cumulative matrix', () => {
    const count = 20_000;
    const t = 11;
    const x0 = 2;
    const expected = diffusion.cumulativeMatrix(t).subarray(x0 * states, (x0 + 1) * states);
    const jumped = diffusion.qSample(new Int32Array(count).fill(x0), t, uniforms(1, 2 * count));
    let chain = new Int32Array(count).fill(x0);
    for (let s = 0; s <= t; s++) {
      const u = uniforms(2, 2 * count, s + 1);
      chain = chain.map((state, i) => {
        if ((u[2 * i] as number) >= (diffusion.beta[s] as number)) return state;
        return diffusion.mask ?? Math.floor((u[2 * i + 1] as number) * diffusion.tokens);
      });
    }
    for (const sample of [jumped, chain]) {
      for (let state = 0; state < states; state++) {
        const p = expected[state] as number;
        const found = sample.filter((value) => value === state).length / count;
        expect(Math.abs(found - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / count) + 1e-12);
      }
    }
  });
});

/** Every x_t that can come of a token x0. */
function* pairs(diffusion: DiscreteDiffusion, t: number): Generator<{ xt: number; x0: number }> {
  const cumulative = diffusion.cumulativeMatrix(t);
  for (let x0 = 0; x0 < diffusion.tokens; x0++) {
    for (let xt = 0; xt < diffusion.states; xt++) {
      if ((cumulative[x0 * diffusion.states + xt] as number) > 0) yield { xt, x0 };
    }
  }
}

describe('the posterior', () => {
  test('is that of Bayes: q(x_{t-1} | x_t, x_0) q(x_t | x_0) = q(x_t | x_{t-1}) q(x_{t-1} | x_0) at every point', () => {
    fc.assert(
      fc.property(arbitraryDiffusion, fc.nat(), (diffusion, anyT) => {
        const { states, steps } = diffusion;
        const t = anyT % steps;
        const one = diffusion.transitionMatrix(t);
        const all = diffusion.cumulativeMatrix(t);
        const identity = Float64Array.from({ length: states * states }, (_, k) => Number(k % (states + 1) === 0));
        const before = t === 0 ? identity : diffusion.cumulativeMatrix(t - 1);
        for (const { xt, x0 } of pairs(diffusion, t)) {
          const posterior = diffusion.posterior(xt, x0, t);
          expect(posterior.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
          for (let state = 0; state < states; state++) {
            const joint = (one[state * states + xt] as number) * (before[x0 * states + state] as number);
            expect((posterior[state] as number) * (all[x0 * states + xt] as number)).toBeCloseTo(joint, 14);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test('leaves the marginals: Σ over x_t of q(x_{t-1} | x_t, x_0) q(x_t | x_0) = q(x_{t-1} | x_0)', () => {
    fc.assert(
      fc.property(arbitraryDiffusion, (diffusion) => {
        const { states, steps } = diffusion;
        const t = steps - 1;
        const all = diffusion.cumulativeMatrix(t);
        const sums = new Float64Array(diffusion.tokens * states);
        for (const { xt, x0 } of pairs(diffusion, t)) {
          for (const [state, p] of diffusion.posterior(xt, x0, t).entries()) {
            const index = x0 * states + state;
            sums[index] = (sums[index] as number) + p * (all[x0 * states + xt] as number);
          }
        }
        const expected =
          t === 0
            ? sums.map((_, k) => Number(Math.floor(k / states) === k % states))
            : diffusion.cumulativeMatrix(t - 1).subarray(0, sums.length);
        expect(largestDifference(sums, expected)).toBeLessThan(1e-13);
      }),
    );
  });

  test('refuses an x_t that cannot come of x_0', () => {
    const diffusion = discreteDiffusion({ tokens: 3, transition: 'absorbing', steps: 5 });
    expect(() => diffusion.posterior(1, 0, 2)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
  });
});

describe('the reverse step', () => {
  test('is the average of the posteriors', () => {
    fc.assert(
      fc.property(
        arbitraryDiffusion,
        fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 6, maxLength: 6 }),
        (diffusion, weights) => {
          const { tokens, states, steps } = diffusion;
          for (let t = 0; t < steps; t++) {
            const all = diffusion.cumulativeMatrix(t);
            for (let xt = 0; xt < states; xt++) {
              // Only tokens that can have become x_t: the network of a state that is no mask has no choice.
              const possible = Array.from({ length: tokens }, (_, x0) => Number((all[x0 * states + xt] as number) > 0));
              const masses = possible.map((ok, x0) => ok * (weights[x0] as number));
              const total = masses.reduce((sum, mass) => sum + mass, 0);
              if (total === 0) continue;
              const probabilities = masses.map((mass) => mass / total);
              const expected = new Float64Array(states);
              probabilities.forEach((p, x0) => {
                if (p > 0) addTo(expected, diffusion.posterior(xt, x0, t), p);
              });
              expect(largestDifference(diffusion.reverse(xt, probabilities, t), expected)).toBeLessThan(1e-12);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test.each(transitions)('%s: with the true p(x_0 | x_t), a whole chain leads back to the data', (transition) => {
    const diffusion = discreteDiffusion({ tokens: 3, transition, steps: 15 });
    const { states, tokens, steps } = diffusion;
    const data = [0.7, 0.1, 0.2];
    const marginal = (t: number): Float64Array => {
      const all = diffusion.cumulativeMatrix(t);
      return Float64Array.from({ length: states }, (_, xt) =>
        data.reduce((sum, p, x0) => sum + p * (all[x0 * states + xt] as number), 0),
      );
    };
    // Exactly, by adding up the probabilities of all ways.
    let law = marginal(steps - 1);
    for (let t = steps - 1; t >= 0; t--) {
      const all = diffusion.cumulativeMatrix(t);
      const evidence = marginal(t);
      const next = new Float64Array(states);
      for (let xt = 0; xt < states; xt++) {
        if ((evidence[xt] as number) === 0) continue;
        const truth = data.map((p, x0) => (p * (all[x0 * states + xt] as number)) / (evidence[xt] as number));
        addTo(next, diffusion.reverse(xt, truth, t), law[xt] as number);
      }
      law = next;
    }
    expect(largestDifference(law.subarray(0, tokens), data)).toBeLessThan(1e-12);
  });

  test('a state that is no mask stays, whatever the network says', () => {
    const diffusion = discreteDiffusion({ tokens: 3, transition: 'absorbing', steps: 5 });
    expect(Array.from(diffusion.reverse(1, [1, 0, 0], 2))).toEqual([0, 1, 0, 0]);
  });
});

describe('the options', () => {
  test.each([
    [{ tokens: 1, transition: 'uniform' as const }, 'tokens'],
    [{ tokens: 3, transition: 'sideways' as 'uniform' }, 'sideways'],
    [{ tokens: 3, transition: 'uniform' as const, steps: 0 }, 'steps'],
    [{ tokens: 3, transition: 'uniform' as const, steps: 2, keep: [0.5] }, 'keep'],
    [{ tokens: 3, transition: 'uniform' as const, steps: 2, keep: [0.5, 0.6] }, 'keep[1]'],
    [{ tokens: 3, transition: 'uniform' as const, steps: 2, keep: [1, 0.6] }, 'keep[0]'],
  ])('%j: refused, naming %s', (options, name) => {
    expect(() => discreteDiffusion(options)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(name) }),
    );
  });

  test('arguments out of range are refused', () => {
    const diffusion = discreteDiffusion({ tokens: 3, transition: 'uniform', steps: 5 });
    const refused = expect.objectContaining({ code: 'ERR_ARGUMENT' });
    expect(() => diffusion.posterior(3, 0, 0)).toThrow(refused);
    expect(() => diffusion.posterior(0, -1, 0)).toThrow(refused);
    expect(() => diffusion.cumulativeMatrix(5)).toThrow(refused);
    expect(() => diffusion.qSample([3], 0, [0, 0])).toThrow(refused);
    expect(() => diffusion.qSample([0], 0, [0])).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
    expect(() => diffusion.reverse(0, [1], 0)).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
  });
});
