import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Diffusion, gaussianDiffusion } from '../../src/diffusion/index.ts';
import { continuousGaussian, discretisedGaussian, logNormalMass } from '../../src/evaluation/gaussian-probability.ts';
import {
  boundTermNats,
  learnedLogVariance,
  priorNats,
  type ReverseVariance,
  reverseLogVariance,
} from '../../src/evaluation/variational-bound.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { expectClose } from '../schedules/close.ts';

/** The linear schedule of DDPM at another number of steps: betas in proportion to the length of a step. */
function scaledLinear(steps: number): Diffusion {
  const scale = 1000 / steps;
  return gaussianDiffusion({ schedule: linearSchedule({ steps, betaStart: 1e-4 * scale, betaEnd: 0.02 * scale }) });
}

type LogVariance = (diffusion: Diffusion, t: number, rules: ReverseVariance) => number | Float64Array;

/**
 * The exact bound of N(0, std^2) data under the exact denoiser, in nats. Every term is quadratic in (x0, eps), so that its mean over the
 * four points x0 = ±std, eps = ±1 is its mean over the two Gaussians.
 */
function exactBound(
  diffusion: Diffusion,
  std: number,
  rules: ReverseVariance,
  logVarianceAt: LogVariance = fixedAt,
): number {
  const x0 = Float64Array.of(-std, -std, std, std);
  const eps = Float64Array.of(-1, 1, -1, 1);
  let nats = priorNats(diffusion, x0);
  for (let t = 0; t < diffusion.steps; t++) {
    const alphaBar = diffusion.schedule.alphaBar[t] as number;
    const gain = (Math.sqrt(alphaBar) * std * std) / (alphaBar * std * std + 1 - alphaBar);
    const predictedX0 = diffusion.qSample(x0, t, eps).map((xt) => gain * xt);
    const logVariance = logVarianceAt(diffusion, t, rules);
    nats += boundTermNats(diffusion, { t, x0, predictedX0, logVariance, reconstruction: continuousGaussian() });
  }
  return nats / x0.length;
}

function fixedAt(diffusion: Diffusion, t: number, rules: ReverseVariance): number {
  return reverseLogVariance(diffusion, t, rules);
}

describe('the bound of Gaussian data under the exact denoiser', () => {
  test.each([
    [100, 0.73675],
    [1000, 0.72688],
    [4000, 0.72606],
    [20_000, 0.72585],
  ])('with large variances and %i steps', (steps, expected) => {
    const bound = exactBound(scaledLinear(steps), 0.5, { variance: 'fixed-large', lastVariance: 'beta' });
    expect(bound.toFixed(5)).toBe(expected.toFixed(5));
  });

  test('with small variances', () => {
    const bound = exactBound(scaledLinear(1000), 0.5, { variance: 'fixed-small' });
    expect(bound.toFixed(5)).toBe('1.29572');
  });

  test('is never below the entropy', () => {
    const shapes = fc.record({
      steps: fc.integer({ min: 100, max: 1000 }),
      std: fc.double({ min: 0.05, max: 3, noNaN: true }),
    });
    fc.assert(
      fc.property(
        shapes,
        fc.constantFrom<ReverseVariance['variance']>('fixed-small', 'fixed-large'),
        ({ steps, std }, variance) => {
          const entropy = 0.5 * Math.log(2 * Math.PI * Math.E * std * std);
          expect(exactBound(scaledLinear(steps), std, { variance })).toBeGreaterThanOrEqual(entropy);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('is lower with the true variances than with either fixed one', () => {
    // The variance of x_{t-1} given x_t is the posterior's and what the spread of x_0 given x_t adds.
    const truth = (diffusion: Diffusion, t: number): Float64Array => {
      const alphaBar = diffusion.schedule.alphaBar[t] as number;
      const spread = (0.25 * (1 - alphaBar)) / (0.25 * alphaBar + 1 - alphaBar);
      const low = reverseLogVariance(diffusion, t, { variance: 'fixed-small' });
      const high = reverseLogVariance(diffusion, t, { variance: 'fixed-large', lastVariance: 'beta' });
      const { mean, variance } = diffusion.posterior(Float64Array.of(1), Float64Array.of(0), t);
      const share = (Math.log(variance + (mean[0] as number) ** 2 * spread) - low) / (high - low);
      return learnedLogVariance(diffusion, t, new Float64Array(4).fill(2 * share - 1));
    };
    const diffusion = scaledLinear(1000);
    const learned = exactBound(diffusion, 0.5, { variance: 'fixed-small' }, truth);
    const fixed = exactBound(diffusion, 0.5, { variance: 'fixed-large', lastVariance: 'beta' });
    expect(learned).toBeLessThan(fixed);
    expect(learned).toBeGreaterThan(0.5 * Math.log(2 * Math.PI * Math.E * 0.25));
  });
});

describe('terms', () => {
  const diffusion = scaledLinear(1000);
  const reconstruction = continuousGaussian();

  test('are the divergence of two Gaussians', () => {
    const value = fc.double({ min: -1, max: 1, noNaN: true });
    fc.assert(
      fc.property(value, value, value, fc.integer({ min: 1, max: 999 }), (x0, guess, v, t) => {
        const arrays = { x0: Float64Array.of(x0), predictedX0: Float64Array.of(guess) };
        const logVariance = learnedLogVariance(diffusion, t, Float64Array.of(v));
        const found = boundTermNats(diffusion, { t, ...arrays, logVariance, reconstruction });
        const truth = diffusion.posterior(arrays.x0, Float64Array.of(0.3), t);
        const model = diffusion.posterior(arrays.predictedX0, Float64Array.of(0.3), t);
        const variance = Math.exp(logVariance[0] as number);
        const gap = (truth.mean[0] as number) - (model.mean[0] as number);
        const expected = 0.5 * ((truth.variance + gap * gap) / variance - 1 + Math.log(variance / truth.variance));
        expectClose(found, expected, 1e-9, 1);
        // One number for all elements means the same as that number for each.
        const one = boundTermNats(diffusion, { t, ...arrays, logVariance: logVariance[0] as number, reconstruction });
        expectClose(one, found, 1e-12, 1e-3);
      }),
    );
  });

  test('vanish for the right answer', () => {
    const x0 = Float64Array.of(-1, 0.2, 1);
    const logVariance = reverseLogVariance(diffusion, 500, { variance: 'fixed-small' });
    expect(boundTermNats(diffusion, { t: 500, x0, predictedX0: x0, logVariance, reconstruction })).toBe(0);
  });

  test('learned variances end at the fixed ones', () => {
    const [small, large] = learnedLogVariance(diffusion, 300, Float64Array.of(-1, 1));
    expectClose(small, reverseLogVariance(diffusion, 300, { variance: 'fixed-small' }), 1e-14);
    expectClose(large, reverseLogVariance(diffusion, 300, { variance: 'fixed-large' }), 1e-14);
  });

  test('refuse arrays of different lengths', () => {
    const term = { t: 3, x0: new Float64Array(3), predictedX0: new Float64Array(2), logVariance: 0, reconstruction };
    expect(() => boundTermNats(diffusion, term)).toThrow('a term of the bound has 3 elements, but also 2');
  });

  test('refuse an unknown variance', () => {
    const rules = { variance: 'medium' } as unknown as ReverseVariance;
    expect(() => reverseLogVariance(diffusion, 1, rules)).toThrow(
      "unknown variance 'medium'; known are: fixed-small, fixed-large",
    );
  });
});

describe('the discretised Gaussian', () => {
  test('gives probabilities that add up to one', () => {
    const levels = fc.integer({ min: 2, max: 300 });
    const mean = fc.double({ min: -1.5, max: 1.5, noNaN: true });
    const logVariance = fc.double({ min: -12, max: 3, noNaN: true });
    fc.assert(
      fc.property(levels, mean, logVariance, (count, m, logVar) => {
        const nats = discretisedGaussian({ levels: count });
        let total = 0;
        for (let k = 0; k < count; k++) {
          total += Math.exp(-nats(Float64Array.of((2 * k) / (count - 1) - 1), Float64Array.of(m), logVar));
        }
        expectClose(total, 1, 1e-12);
      }),
    );
  });

  test('agrees with the approximation of improved-diffusion where that is good', () => {
    const [exact, rough] = [discretisedGaussian(), discretisedGaussian({ cdf: 'tanh' })];
    const mean = Float64Array.of(0.013);
    for (const x of [-1, -0.5, 2 / 255 - 1, 0, 0.3, 1].map((value) => Float64Array.of(value))) {
      expect(Math.abs(exact(x, mean, 0) - rough(x, mean, 0))).toBeLessThan(0.02);
    }
    // Far out that one gives up, the exact one does not.
    const far = Float64Array.of(0.5);
    expectClose(rough(far, mean, -12), -Math.log(1e-12), 1e-12);
    expect(exact(far, mean, -12)).toBeGreaterThan(15_000);
  });

  // From improved-diffusion's discretized_gaussian_log_likelihood in float64.
  test.each([
    [-1, -0.98, -8, 1.6600112677205452],
    [-101 / 255, -0.41, -6, 2.80728834765649],
    [51 / 255, 0.19, -9.5, 1.6748645527068133],
    [1, 0.9, -4, 1.43147729937292],
  ])('of improved-diffusion: %d around %d', (x, mean, logVariance, expected) => {
    const nats = discretisedGaussian({ cdf: 'tanh' });
    expectClose(nats(Float64Array.of(x), Float64Array.of(mean), logVariance), expected, 1e-12);
  });

  // From mpmath with 50 digits: log(ncdf(b) - ncdf(a)).
  test.each([
    [-0.1, 0.1, -2.5300420015472382],
    [0.5, 0.6, -3.373064226942796],
    [1.9, 2.1, -4.523393052238179],
    [-3, -2.9, -7.569568013807489],
    [10, 10.5, -53.2369693717525],
    [40, 41, -804.6084420137538],
    [Number.NEGATIVE_INFINITY, -5, -15.064998393988725],
    [-1, Number.POSITIVE_INFINITY, -0.17275377902344988],
  ])('log mass of [%d, %d]', (low, high, expected) => {
    expectClose(logNormalMass(low, high), expected, 2e-14, 1);
  });
});
