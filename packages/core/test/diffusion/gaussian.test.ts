import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Diffusion,
  gaussianDiffusion,
  NOISING_COLUMNS,
  posteriorCoefficients,
  type TargetName,
} from '../../src/diffusion/index.ts';
import { minSnr } from '../../src/diffusion/weighting.ts';
import { cosineSchedule, linearSchedule, schedules } from '../../src/schedules/index.ts';
import { hasMoments, moments, normals } from '../random/normal.ts';
import { expectAllClose, expectClose } from '../schedules/close.ts';

const golden = JSON.parse(readFileSync(new URL('../../../../golden/schedules.json', import.meta.url), 'utf8')) as {
  linear: Record<string, number[]> & { idx: number[] };
};

const one = Float64Array.of(1);
const zero = Float64Array.of(0);
const timestep = fc.nat(999);
const value = fc.double({ min: -3, max: 3, noNaN: true }).map((x) => Float64Array.of(x));
const at = (array: Float64Array | Float32Array, i: number): number => array[i] as number;
const logNormal = (x: number, mean: number, variance: number): number =>
  -0.5 * ((x - mean) ** 2 / variance + Math.log(2 * Math.PI * variance));

describe('the forward process', () => {
  const { schedule, ...diffusion } = gaussianDiffusion({ schedule: linearSchedule() });

  test('one step has the moments of q(x_t | x_0)', () => {
    const count = 100_000;
    const x0 = new Float64Array(count).fill(0.7);
    for (const t of [0, 100, 500, 999]) {
      const xt = diffusion.qSample(x0, t, normals(1, count, t));
      const alphaBar = at(schedule.alphaBar, t);
      expect(hasMoments(xt, Math.sqrt(alphaBar) * 0.7, 1 - alphaBar), `t = ${t}`).toBe(true);
    }
  });

  test('a chain of single steps has the moments of one long step', () => {
    const short = gaussianDiffusion({ schedule: linearSchedule({ steps: 100, betaStart: 0.001, betaEnd: 0.04 }) });
    const count = 10_000;
    let x: Float64Array = new Float64Array(count).fill(0.7);
    for (let t = 0; t < 100; t++) x = short.qStep(x, t, normals(2, count, t));
    const alphaBar = at(short.schedule.alphaBar, 99);
    expect(alphaBar).toBeGreaterThan(0.1); // something of the mean is left to be tested
    expect(hasMoments(x, Math.sqrt(alphaBar) * 0.7, 1 - alphaBar)).toBe(true);
  });

  test('is x0 + sigma eps in the variance-exploding view', () => {
    fc.assert(
      fc.property(value, value, timestep, (x0, eps, t) => {
        const signal = Math.sqrt(at(schedule.alphaBar, t));
        const exploded = at(diffusion.qSample(x0, t, eps), 0) / signal;
        expectClose(exploded, at(x0, 0) + at(schedule.sigma, t) * at(eps, 0), 1e-12, 1);
      }),
    );
    const count = 100_000;
    const x0 = normals(3, count);
    const xt = diffusion.qSample(x0, 300, normals(4, count));
    const [signal, sigma] = [Math.sqrt(at(schedule.alphaBar, 300)), at(schedule.sigma, 300)];
    expect(
      hasMoments(
        xt.map((x, i) => (x / signal - at(x0, i)) / sigma),
        0,
        1,
      ),
    ).toBe(true);
  });

  test('keeps the kind of the data and leaves its inputs alone', () => {
    const x0 = Float32Array.of(0.5, -0.5);
    const xt = diffusion.qSample(x0, 100, Float64Array.of(1, -1));
    expect(xt).toBeInstanceOf(Float32Array);
    expect(diffusion.qStep(Float64Array.of(0.5), 3, Float32Array.of(1))).toBeInstanceOf(Float64Array);
    expect([...x0]).toEqual([0.5, -0.5]);
    expect(xt[0]).toBe(
      Math.fround(Math.sqrt(at(schedule.alphaBar, 100)) * 0.5 + Math.sqrt(1 - at(schedule.alphaBar, 100))),
    );
  });
});

describe('the posterior', () => {
  const diffusion = gaussianDiffusion({ schedule: linearSchedule() });

  test('has the golden coefficients', () => {
    for (const [i, t] of golden.linear.idx.entries()) {
      const ofX0 = diffusion.posterior(one, zero, t);
      const ofXt = diffusion.posterior(zero, one, t);
      expectClose(at(ofX0.mean, 0), golden.linear.posterior_mean_coef_x0?.[i] as number, 1e-12);
      expectClose(at(ofXt.mean, 0), golden.linear.posterior_mean_coef_xt?.[i] as number, 1e-12);
      expectClose(ofX0.variance, golden.linear.posterior_variance?.[i] as number, 1e-12);
    }
  });

  test('is x_0 itself at the first timestep', () => {
    const { mean, variance, logVariance } = diffusion.posterior(Float64Array.of(0.3), Float64Array.of(9), 0);
    expect([...mean, variance, logVariance]).toEqual([0.3, 0, -Infinity]);
  });

  test('has the beta of the schedule', () => {
    // The levels keep 1 - beta to a few roundings, and so beta absolutely.
    const { alphaBar, beta } = diffusion.schedule;
    for (let t = 1; t < 1000; t++) {
      expectClose(posteriorCoefficients(at(alphaBar, t), at(alphaBar, t - 1)).beta, at(beta, t), 1e-15, 1);
    }
  });

  test('obeys the rule of Bayes pointwise', () => {
    const { alphaBar } = diffusion.schedule;
    const noise = fc.double({ min: -3, max: 3, noNaN: true });
    fc.assert(
      fc.property(value, noise, noise, fc.integer({ min: 1, max: 999 }), (x0, e1, e2, t) => {
        const [level, before] = [at(alphaBar, t), at(alphaBar, t - 1)];
        // From the levels, as the posterior is: the schedule's own differs from it by the rounding of 1 - beta.
        const beta = (before - level) / before;
        const keep = Math.sqrt(level / before);
        // Points that the process reaches: elsewhere the logarithms are huge and cancel.
        const previous = Math.sqrt(before) * at(x0, 0) + e1 * Math.sqrt(1 - before);
        const xt = keep * previous + e2 * Math.sqrt(beta);
        const { mean, variance, logVariance } = diffusion.posterior(x0, Float64Array.of(xt), t);
        const terms = [
          logNormal(xt, keep * previous, beta),
          logNormal(previous, Math.sqrt(before) * at(x0, 0), 1 - before),
          -logNormal(xt, Math.sqrt(level) * at(x0, 0), 1 - level),
        ];
        const bayes = terms.reduce((sum, term) => sum + term);
        // The terms cancel: what is left carries the rounding of each.
        const sizes = terms.reduce((sum, term) => sum + Math.abs(term), 1);
        expectClose(logNormal(previous, at(mean, 0), variance), bayes, 1e-12, sizes);
        expectClose(logVariance, Math.log(variance), 0);
      }),
    );
  });

  test('at the estimate of x0 has the mean in the eps form', () => {
    const { alphaBar, beta } = diffusion.schedule;
    fc.assert(
      fc.property(value, value, timestep, (xt, eps, t) => {
        const { mean } = diffusion.posterior(diffusion.predictX0(xt, eps, t), xt, t);
        const removed = (at(beta, t) / Math.sqrt(1 - at(alphaBar, t))) * at(eps, 0);
        expectClose(at(mean, 0), (at(xt, 0) - removed) / Math.sqrt(1 - at(beta, t)), 1e-12, 1);
      }),
    );
  });

  test('undoes a step: marginals of Gaussian data survive forth and back', () => {
    const count = 100_000;
    const x0 = normals(5, count).map((x) => 0.2 + 0.5 * x);
    const t = 400;
    const xt = diffusion.qSample(x0, t, normals(6, count));
    const { mean, variance } = diffusion.posterior(x0, xt, t);
    const fresh = normals(7, count);
    const back = mean.map((m, i) => m + Math.sqrt(variance) * at(fresh, i));
    const alphaBar = at(diffusion.schedule.alphaBar, t - 1);
    expect(hasMoments(back, Math.sqrt(alphaBar) * 0.2, alphaBar * 0.25 + 1 - alphaBar)).toBe(true);
  });
});

describe('what the network predicts', () => {
  const predictions: TargetName[] = ['eps', 'x0', 'v'];
  const diffusions = predictions.flatMap((predict) =>
    Object.values(schedules).map((entry) => gaussianDiffusion({ schedule: entry.create(), predict })),
  );

  test.each(diffusions.map((d): [string, string, Diffusion] => [d.predict, d.schedule.name, d]))(
    'gives x0 and eps back: %s, %s',
    (_predict, _schedule, diffusion) => {
      fc.assert(
        fc.property(value, value, timestep, (x0, eps, t) => {
          const xt = diffusion.qSample(x0, t, eps);
          const target = diffusion.target(x0, eps, t);
          const sigma = at(diffusion.schedule.sigma, t);
          // Finding x0 from eps, or eps from x0, divides rounding errors by the signal or by the noise.
          expectClose(diffusion.predictX0(xt, target, t)[0], at(x0, 0), 1e-14 * (1 + sigma), 1);
          expectClose(diffusion.predictEps(xt, target, t)[0], at(eps, 0), 1e-14 * (1 + 1 / sigma), 1);
        }),
      );
    },
  );

  test('is in the table that training reads', () => {
    for (const predict of predictions) {
      const weighting = minSnr(5);
      const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 20 }), predict, weighting });
      const table = diffusion.noisingTable();
      expect(table).toBeInstanceOf(Float32Array);
      expect(table.length).toBe(20 * NOISING_COLUMNS);
      for (let t = 0; t < 20; t++) {
        const [signal, noise, targetX0, targetEps, weight, told] = table.subarray(t * 6, t * 6 + 6);
        const scale = diffusion.inputScale(t);
        expect(signal).toBe(Math.fround(scale * (diffusion.qSample(one, t, zero)[0] as number)));
        expect(noise).toBe(Math.fround(scale * (diffusion.qSample(zero, t, one)[0] as number)));
        expect(told).toBe(Math.fround(predict === 'edm' ? Math.log(at(diffusion.schedule.sigma, t)) / 4 : t));
        expect(targetX0).toBe(Math.fround(diffusion.target(one, zero, t)[0] as number));
        expect(targetEps).toBe(Math.fround(diffusion.target(zero, one, t)[0] as number));
        const snr = at(diffusion.schedule.alphaBar, t) / (1 - at(diffusion.schedule.alphaBar, t));
        // What an error of x0 is, as an error of the prediction.
        const previous = t > 0 ? at(diffusion.schedule.alphaBar, t - 1) : 1;
        const alphaBar = at(diffusion.schedule.alphaBar, t);
        const divisor = {
          eps: snr,
          x0: 1,
          v: snr + 1,
          score: snr / (1 - alphaBar),
          flow: (Math.sqrt(alphaBar) + Math.sqrt(1 - alphaBar)) ** 2 / (1 - alphaBar),
          mean: posteriorCoefficients(alphaBar, previous).x0 ** 2,
          edm: snr + 4,
        }[predict];
        expectClose(weight, Math.min(snr, 5) / divisor, 1e-6);
      }
    }
    const table = gaussianDiffusion({ schedule: linearSchedule({ steps: 3 }), predict: 'v' }).noisingTable();
    expect([...table.subarray(0, 6)]).toEqual(
      [Math.sqrt(0.9999), Math.sqrt(1e-4), -0.01, Math.sqrt(0.9999), 1, 0].map(Math.fround),
    );
  });

  test('defaults to eps with plain errors', () => {
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    expect([diffusion.predict, diffusion.weighting.name, diffusion.steps]).toEqual(['eps', 'simple', 1000]);
    expectAllClose(diffusion.target(one, Float64Array.of(2), 5), [2], 0);
    expect(moments(Float64Array.from(diffusion.noisingTable()).filter((_, i) => i % 6 === 4))).toEqual({
      mean: 1,
      variance: 0,
    });
  });
});

describe('refusals', () => {
  const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 10, betaEnd: 1 }) });

  test('of a timestep', () => {
    for (const t of [-1, 10, 9.5, Number.NaN]) {
      const message = `timestep t must be a`;
      expect(() => diffusion.qSample(one, t, one)).toThrow(message);
      expect(() => diffusion.qStep(one, t, one)).toThrow(message);
      expect(() => diffusion.posterior(one, one, t)).toThrow(message);
      expect(() => diffusion.predictX0(one, one, t)).toThrow(message);
      expect(() => diffusion.target(one, one, t)).toThrow(message);
    }
    // Between two timesteps there is a noise level, but no step.
    expect(diffusion.qSample(one, 0.5, one)[0]).toBeGreaterThan(1);
    expect(() => diffusion.qStep(one, 0.5, one)).toThrow('timestep t must be an integer from 0 to 9, got 0.5');
    expect(() => diffusion.posterior(one, one, 0.5)).toThrow('timestep t must be an integer from 0 to 9, got 0.5');
  });

  test('of arrays of different lengths', () => {
    expect(() => diffusion.qSample(one, 0, new Float64Array(2))).toThrow(
      expect.objectContaining({
        code: 'ERR_SHAPE',
        message: 'arrays must have the same length, got 1 and 2 elements',
      }),
    );
  });

  test('of an unknown prediction', () => {
    const options = { schedule: linearSchedule(), predict: 'noise' as TargetName };
    expect(() => gaussianDiffusion(options)).toThrow("unknown prediction target 'noise'; known are: eps, x0, v");
  });

  test('of finding x0 from the noise where nothing else is left', () => {
    expect(() => diffusion.predictX0(one, one, 9)).toThrow("'eps' does not determine 'x0' where alphaBar is 0");
    expect(diffusion.predictEps(one, Float64Array.of(7), 9)[0]).toBe(7);
    const v = gaussianDiffusion({ schedule: diffusion.schedule, predict: 'v' });
    expect(v.predictX0(one, Float64Array.of(7), 9)[0]).toBe(-7);
  });
});
