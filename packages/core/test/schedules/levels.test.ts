import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  alphaBarFromSigma,
  cosineSchedule,
  levelAt,
  linearSchedule,
  logLinearSchedule,
  scheduleFromSigmas,
  sigmaAt,
  sigmaFromAlphaBar,
  snr,
  timestepOf,
  toVarianceExploding,
  toVariancePreserving,
} from '../../src/schedules/index.ts';
import { normalCdf, normalQuantile } from '../../src/schedules/normal-law.ts';
import { expectAllClose, expectClose } from './close.ts';

describe('one process, two views', () => {
  const level = fc.double({ min: 0.02, max: 1e4, noNaN: true });

  test('noise levels go from one to the other and back', () => {
    fc.assert(
      fc.property(level, (sigma) => {
        expectClose(sigmaFromAlphaBar(alphaBarFromSigma(sigma)), sigma, 1e-12);
        expectClose(alphaBarFromSigma(sigmaFromAlphaBar(alphaBarFromSigma(sigma))), alphaBarFromSigma(sigma), 1e-12);
        expectClose(snr(alphaBarFromSigma(sigma)), 1 / (sigma * sigma), 1e-12);
      }),
    );
    expect([snr(0), sigmaFromAlphaBar(0), sigmaFromAlphaBar(1)]).toEqual([0, Infinity, 0]);
    expect([alphaBarFromSigma(0), alphaBarFromSigma(Infinity)]).toEqual([1, 0]);
  });

  test('noisy data go from one to the other and back', () => {
    const vector = fc.float64Array({ min: -10, max: 10, noNaN: true, minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(level, vector, (sigma, x) => {
        const alphaBar = alphaBarFromSigma(sigma);
        expectAllClose(toVarianceExploding(toVariancePreserving(x, sigma), alphaBar), x, 1e-12);
        expectAllClose(toVariancePreserving(toVarianceExploding(x, alphaBar), sigma), x, 1e-12);
      }),
    );
  });

  test('the map carries x0 + sigma eps to sqrt(alphaBar) x0 + sqrt(1 - alphaBar) eps', () => {
    const [x0, eps, sigma] = [0.7, -1.3, 2.5];
    const alphaBar = alphaBarFromSigma(sigma);
    const preserving = Math.sqrt(alphaBar) * x0 + Math.sqrt(1 - alphaBar) * eps;
    expectClose(toVariancePreserving(Float64Array.of(x0 + sigma * eps), sigma)[0], preserving, 1e-14);
    expectClose(toVarianceExploding(Float64Array.of(preserving), alphaBar)[0], x0 + sigma * eps, 1e-14);
  });

  test('keeps the kind of array, and the array', () => {
    const x = Float32Array.of(1, 2);
    expect(toVarianceExploding(x, 0.25)).toEqual(Float32Array.of(2, 4));
    expect(toVariancePreserving(x, 0)).toEqual(x);
    expect(x).toEqual(Float32Array.of(1, 2));
  });

  test('refuses levels that have no counterpart', () => {
    const x = Float64Array.of(1);
    for (const alphaBar of [0, -1, 1.1, Number.NaN]) {
      expect(() => toVarianceExploding(x, alphaBar)).toThrow(
        `alphaBar must be a number above 0 and at most 1, got ${alphaBar}`,
      );
    }
    for (const sigma of [-1, Infinity, Number.NaN]) {
      expect(() => toVariancePreserving(x, sigma)).toThrow(`sigma must be a finite number, at least 0, got ${sigma}`);
    }
  });
});

describe('levels between timesteps', () => {
  test('ln sigma is linear between neighbours', () => {
    const schedule = cosineSchedule({ steps: 50 });
    const [low, high] = [schedule.sigma[7] as number, schedule.sigma[8] as number];
    for (const share of [0.1, 0.5, 0.9]) {
      const expected = Math.exp((1 - share) * Math.log(low) + share * Math.log(high));
      expectClose(sigmaAt(schedule, 7 + share), expected, 1e-14);
      expectClose(levelAt(schedule, 7 + share), 1 / (1 + expected ** 2), 1e-14);
    }
  });

  test('of a log-linear schedule are those of one with more timesteps', () => {
    const coarse = logLinearSchedule({ steps: 11 });
    logLinearSchedule({ steps: 101 }).sigma.forEach((sigma, t) => {
      expectClose(sigmaAt(coarse, t / 10), sigma, 1e-12);
      expectClose(timestepOf(coarse, sigma), t / 10, 1e-12, 1);
    });
  });

  test("are those of diffusers' Euler scheduler", () => {
    const { timesteps } = JSON.parse(readFileSync(new URL('diffusers-schedules.json', import.meta.url), 'utf8')) as {
      timesteps: { sigma: number[]; t: number[] };
    };
    const schedule = linearSchedule();
    timesteps.sigma.forEach((sigma, i) => {
      expectClose(timestepOf(schedule, sigma), timesteps.t[i] as number, 1e-9, 1);
    });
  });

  test('towards pure noise alphaBar falls linearly', () => {
    const schedule = scheduleFromSigmas([0.5, 1, Infinity]);
    for (const t of [1, 1.25, 1.5, 1.75, 2]) {
      expectClose(levelAt(schedule, t), (2 - t) / 2, 1e-15, 1);
      expectClose(timestepOf(schedule, sigmaAt(schedule, t)), t, 1e-14);
    }
    expect(sigmaAt(schedule, 2)).toBe(Infinity);
    expect(timestepOf(schedule, Infinity)).toBe(2);
  });

  test('a sigma outside of the schedule has the nearest timestep', () => {
    const schedule = linearSchedule({ steps: 10 });
    expect([0, 0.009, 1, 1e9, Infinity].map((sigma) => timestepOf(schedule, sigma))).toEqual([0, 0, 9, 9, 9]);
    const single = linearSchedule({ steps: 1 });
    expect([levelAt(single, 0), timestepOf(single, 5), timestepOf(single, 1e-9)]).toEqual([0.9999, 0, 0]);
  });

  test('refuse what is no level', () => {
    const schedule = linearSchedule();
    for (const t of [-0.1, 999.1, Infinity, Number.NaN]) {
      const message = `a timestep of schedule 'linear' must be a number from 0 to 999, got ${t}`;
      expect(() => levelAt(schedule, t)).toThrow(message);
      expect(() => sigmaAt(schedule, t)).toThrow(message);
    }
    expect(() => timestepOf(schedule, -1)).toThrow('sigma must be a number, at least 0, got -1');
    expect(() => timestepOf(schedule, Number.NaN)).toThrow('sigma must be a number, at least 0, got NaN');
  });
});

describe('the normal law', () => {
  // 0.5 erfc(-z / sqrt(2)) of the C library, by Python.
  test.each([
    [-8, 6.220960574271819e-16],
    [-3.0001, 0.001349454913260717],
    [-2.9999, 0.0013503412829549248],
    [-1, 0.15865525393145707],
    [0.3, 0.6179114221889526],
    [2, 0.9772498680518208],
    [4.65, 0.9999983403248557],
  ])('Phi(%d)', (z, expected) => {
    expectClose(normalCdf(z), expected, 1e-12);
  });

  test('the quantile is its inverse', () => {
    for (let z = -8; z < 3; z += 0.07) expectClose(normalQuantile(normalCdf(z)), z, 1e-12, 1);
    expect(normalQuantile(0.5)).toBe(0);
    expectClose(normalQuantile(0.975), 1.959963984540054, 1e-14);
    expectClose(normalQuantile(1e-300), -37.0471, 1e-5);
  });
});
