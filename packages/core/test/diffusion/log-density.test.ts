import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Floats, gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { forwardLogDensity, gaussianLogDensity, reverseLogDensity } from '../../src/diffusion/log-density.ts';
import { alphaBarFromSigma, cosineSchedule, linearSchedule } from '../../src/schedules/index.ts';
import { expectClose } from '../schedules/close.ts';

/** Lower triangular L with L L^T = matrix. */
function cholesky(matrix: readonly (readonly number[])[]): number[][] {
  const lower: number[][] = matrix.map((row) => row.map(() => 0));
  const at = (i: number, j: number): number => lower[i]?.[j] as number;
  matrix.forEach((row, i) => {
    for (let j = 0; j <= i; j++) {
      let rest = row[j] as number;
      for (let k = 0; k < j; k++) rest -= at(i, k) * at(j, k);
      (lower[i] as number[])[j] = i === j ? Math.sqrt(rest) : rest / at(j, j);
    }
  });
  return lower;
}

/** log N(x; 0, covariance) of one vector, by the Cholesky factor: no chain rule in it. */
function jointLogDensity(x: readonly number[], covariance: readonly (readonly number[])[]): number {
  const lower = cholesky(covariance);
  const whitened: number[] = [];
  let logDeterminant = 0;
  lower.forEach((row, i) => {
    let rest = x[i] as number;
    for (let k = 0; k < i; k++) rest -= (row[k] as number) * (whitened[k] as number);
    whitened.push(rest / (row[i] as number));
    logDeterminant += Math.log(row[i] as number);
  });
  const squares = whitened.reduce((sum, value) => sum + value * value, 0);
  return -0.5 * (x.length * Math.log(2 * Math.PI) + squares) - logDeterminant;
}

const vector = (length: number): fc.Arbitrary<Float64Array> =>
  fc.float64Array({ min: -3, max: 3, noNaN: true, minLength: length, maxLength: length });
const T = 5;
const schedule = linearSchedule({ steps: T, betaStart: 0.1, betaEnd: 0.6 });
const alphaBar = (t: number): number => (t === 0 ? 1 : (schedule.alphaBar[t - 1] as number));
const chain = fc.array(vector(2), { minLength: T + 1, maxLength: T + 1 });

describe('the log density of one Gaussian', () => {
  test('is the closed form', () => {
    expectClose(gaussianLogDensity(Float64Array.of(0), { mean: 0, variance: 1 }), -0.9189385332046727, 1e-15);
    const x = Float64Array.of(1, 2, 3);
    const expected = -1.5 * Math.log(2 * Math.PI * 4) - 5 / 8;
    expectClose(gaussianLogDensity(x, { mean: Float64Array.of(1, 1, 1), variance: 4 }), expected, 1e-15);
    expectClose(gaussianLogDensity(x, { mean: 1, variance: 4 }), expected, 1e-15);
  });

  test('integrates to one', () => {
    let sum = 0;
    for (let x = -12; x <= 12; x += 0.01) {
      sum += 0.01 * Math.exp(gaussianLogDensity(Float64Array.of(x), { mean: 0.3, variance: 0.7 }));
    }
    expectClose(sum, 1, 1e-12);
  });

  test('refuses points and means of another length', () => {
    const x = Float64Array.of(1, 2);
    for (const variance of [0, -1, Number.NaN, Infinity]) {
      expect(() => gaussianLogDensity(x, { mean: x, variance })).toThrow('variance of a log density must be a number');
    }
    expect(() => gaussianLogDensity(x, { mean: Float64Array.of(1), variance: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_SHAPE', message: 'the mean must have the 2 elements of x, got 1' }),
    );
  });
});

describe('the noising chain', () => {
  test('its steps sum to the joint Gaussian log q(x_1:T | x_0)', () => {
    // x_s and x_t, s <= t, have covariance sqrt(alphaBar_t / alphaBar_s) (1 - alphaBar_s) given x_0.
    const times = Array.from({ length: T }, (_, i) => i + 1);
    const covariance = times.map((s) =>
      times.map((t) => {
        const [early, late] = [Math.min(s, t), Math.max(s, t)];
        return Math.sqrt(alphaBar(late) / alphaBar(early)) * (1 - alphaBar(early));
      }),
    );
    fc.assert(
      fc.property(chain, (states) => {
        const { total, parts } = forwardLogDensity(schedule, states);
        const joint = [0, 1].map((i) => {
          const x0 = states[0]?.[i] as number;
          const centred = times.map((t) => (states[t]?.[i] as number) - Math.sqrt(alphaBar(t)) * x0);
          return jointLogDensity(centred, covariance);
        });
        expectClose(total, (joint[0] as number) + (joint[1] as number), 1e-12, 1);
        expectClose(
          parts.reduce((sum, part) => sum + part, 0),
          total,
          1e-14,
          1,
        );
      }),
    );
  });

  test('q(x_t | x_{t-1}) q(x_{t-1} | x_0) = q(x_{t-1} | x_t, x_0) q(x_t | x_0), as Bayes has it', () => {
    const diffusion = gaussianDiffusion({ schedule });
    const oneJump = (x: Floats, x0: Floats, t: number): number =>
      gaussianLogDensity(x, { mean: x0.map((v) => v * Math.sqrt(alphaBar(t))), variance: 1 - alphaBar(t) });
    fc.assert(
      fc.property(vector(3), vector(3), vector(3), fc.integer({ min: 2, max: T }), (x0, before, after, t) => {
        const step = { ...schedule, beta: schedule.beta.slice(t - 1) };
        const left = forwardLogDensity(step, [before, after]).total + oneJump(before, x0, t - 1);
        const right = gaussianLogDensity(before, diffusion.posterior(x0, after, t - 1)) + oneJump(after, x0, t);
        expectClose(left, right, 1e-12, 1);
      }),
    );
  });

  test('may be shorter than the schedule, not longer', () => {
    const states = [Float64Array.of(1), Float64Array.of(0.5)];
    expect(forwardLogDensity(schedule, states).parts).toHaveLength(1);
    for (const count of [0, 1, T + 2]) {
      const wrong = Array.from({ length: count }, () => Float64Array.of(0));
      expect(() => forwardLogDensity(schedule, wrong)).toThrow(
        `a chain of this schedule has 2 to 6 states, x_0 to x_T, got ${count}`,
      );
    }
    expect(() => forwardLogDensity(schedule, [Float64Array.of(1), Float64Array.of(1, 2)])).toThrow(
      expect.objectContaining({ code: 'ERR_SHAPE' }),
    );
  });
});

describe('the denoising chain', () => {
  test('of Gaussian data is the noising chain read backwards', () => {
    // x_0 ~ N(0, s^2 I): x_{t-1} and x_t are jointly Gaussian, so p(x_{t-1} | x_t) has a closed form.
    const s2 = 0.36;
    const marginal = (t: number): number => alphaBar(t) * s2 + 1 - alphaBar(t);
    fc.assert(
      fc.property(chain, (states) => {
        const laws = Array.from({ length: T }, (_, t) => {
          const kept = Math.sqrt(alphaBar(t + 1) / alphaBar(t));
          const gain = (marginal(t) * kept) / marginal(t + 1);
          const mean = (states[t + 1] as Float64Array).map((value) => gain * value);
          return { mean, variance: marginal(t) * (1 - gain * kept) };
        });
        const backwards = reverseLogDensity(states, laws, marginal(T));
        const data = gaussianLogDensity(states[0] as Float64Array, { mean: 0, variance: s2 });
        expectClose(backwards.total, data + forwardLogDensity(schedule, states).total, 1e-12, 1);
        expect(backwards.parts).toHaveLength(T + 1);
      }),
    );
  });

  test('bounds the likelihood: E_q[log p(x_0:T) - log q(x_1:T | x_0)] is the ELBO', () => {
    // With the exact reverse process the bound is tight for every single chain, not only in the mean.
    const steps = cosineSchedule({ steps: 3 });
    const x0 = Float64Array.of(0.2, -0.4);
    const states = [x0, Float64Array.of(0.5, 0), Float64Array.of(-0.3, 1), Float64Array.of(1, -1)];
    const level = (t: number): number => (t === 0 ? 1 : (steps.alphaBar[t - 1] as number));
    const variance = (t: number): number => 0.25 * level(t) + 1 - level(t);
    const laws = [0, 1, 2].map((t) => {
      const kept = Math.sqrt(level(t + 1) / level(t));
      const gain = (variance(t) * kept) / variance(t + 1);
      return { mean: (states[t + 1] as Float64Array).map((v) => gain * v), variance: variance(t) * (1 - gain * kept) };
    });
    const bound = reverseLogDensity(states, laws, variance(3)).total - forwardLogDensity(steps, states).total;
    expectClose(bound, gaussianLogDensity(x0, { mean: 0, variance: 0.25 }), 1e-12);
  });

  test('works in the variance-exploding view', () => {
    const sigma = 80;
    const x = Float64Array.of(30, -100);
    const { parts } = reverseLogDensity([x], [], sigma ** 2);
    const scale = Math.sqrt(alphaBarFromSigma(sigma));
    // The same point in the other view, where the density is 1 / scale^2 times as high.
    const preserving = reverseLogDensity([x.map((v) => v * scale)], [], 1 - alphaBarFromSigma(sigma)).total;
    expectClose(parts[0], preserving + 2 * Math.log(scale), 1e-12);
  });

  test('refuses laws that do not fit', () => {
    const x = Float64Array.of(1);
    expect(() => reverseLogDensity([x, x], [])).toThrow('a chain of 2 states has one law less than states, got 0');
    expect(() => reverseLogDensity([x, x], [{ mean: x, variance: 0 }])).toThrow(
      'variance of a log density must be a number above 0',
    );
    expect(() => reverseLogDensity([x], [], -1)).toThrow('variance of a log density must be a number above 0');
  });
});
