import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { gaussianDenoiser, gaussianEpsFloor } from '../../../testkit/src/distributions.ts';
import {
  createWeighting,
  edm,
  edmWeighting,
  gaussianDiffusion,
  minSnr,
  simple,
  softMinSnr,
  type TargetName,
  targets,
  vlb,
  weightings,
} from '../../src/diffusion/index.ts';
import { linearSchedule, snr } from '../../src/schedules/index.ts';
import { normals } from '../random/normal.ts';
import { expectClose } from '../schedules/close.ts';

const golden = JSON.parse(readFileSync(new URL('../../../../golden/schedules.json', import.meta.url), 'utf8')) as {
  linear: Record<string, number[]> & { idx: number[] };
};
const schedule = linearSchedule();

describe('weightings', () => {
  test.each<TargetName>(['eps', 'x0', 'v'])('min-SNR has the golden weights of %s', (name) => {
    const { weight } = minSnr(5);
    for (const [i, t] of golden.linear.idx.entries()) {
      const expected = golden.linear[`min_snr5_${name}`]?.[i] as number;
      expectClose(weight(schedule.alphaBar[t] as number, targets[name], 1), expected, 1e-11);
    }
  });

  test('simple is 1 for everything', () => {
    for (const target of Object.values(targets)) expect(simple().weight(0.3, target, 1)).toBe(1);
  });

  test("soft min-SNR goes from the SNR to gamma, and is k-diffusion's on its preconditioned output", () => {
    const { weight } = softMinSnr(4);
    expectClose(weight(1e-6, targets.x0, 1) / 1e-6, 1, 1e-4);
    expectClose(weight(1 - 1e-6, targets.x0, 1), 4, 1e-4);
    const [sigma, s] = [1.3, 0.5];
    const alphaBar = 1 / (1 + sigma * sigma);
    const theirs = (sigma * s) ** 2 / (sigma ** 2 + s ** 2) ** 2; // of the output of edm(s)
    expectClose(softMinSnr(1 / s ** 2).weight(alphaBar, edm(s), 1), theirs, 1e-12);
  });

  test("EDM's is 1 on EDM's output", () => {
    for (const sigma of [0.01, 0.5, 3, 80]) {
      const alphaBar = 1 / (1 + sigma * sigma);
      expectClose(edmWeighting(0.5).weight(alphaBar, edm(0.5), 1), 1, 1e-9);
      expectClose(edmWeighting(0.5).weight(alphaBar, targets.x0, 1), (sigma ** 2 + 0.25) / (sigma * 0.5) ** 2, 1e-9);
    }
  });

  test("vlb's are those of the paper: the divergence of a step in nats", () => {
    const { alphaBar, beta } = schedule;
    for (const t of [1, 10, 500, 999]) {
      const [now, before, b] = [alphaBar[t] as number, alphaBar[t - 1] as number, beta[t] as number];
      // Ho et al. 2020, eq. (12), with the variance of the posterior.
      const variance = (b * (1 - before)) / (1 - now);
      const onEps = b ** 2 / (2 * variance * (1 - b) * (1 - now));
      expectClose(vlb().weight(now, targets.eps, before), onEps, 1e-9);
      expectClose(vlb().weight(now, targets.x0, before), (snr(before) - snr(now)) / 2, 1e-9);
    }
    expectClose(vlb().weight(alphaBar[0] as number, targets.x0, 1), 1 / (2 * (beta[0] as number)), 1e-9);
  });

  test('can be made again from name and parameters', () => {
    for (const name of Object.keys(weightings)) {
      const weighting = createWeighting(name);
      expect(weighting.name).toBe(name);
      expect(createWeighting(name, weighting.parameters).parameters).toEqual(weighting.parameters);
    }
    expect(createWeighting('min-snr', { gamma: 2 }).weight(0.9, targets.x0, 1)).toBe(2);
    expect(createWeighting('min-snr').parameters).toEqual({ gamma: 5 });
  });

  test('refuse what they do not know', () => {
    expect(() => createWeighting('snr')).toThrow("unknown weighting 'snr'; known are: simple, min-snr");
    expect(() => createWeighting('simple', { gamma: 5 })).toThrow("weighting 'simple' has no option 'gamma'");
    for (const gamma of [0, -1, Number.NaN]) {
      expect(() => minSnr(gamma)).toThrow(`gamma of weighting 'min-snr' must be a number above 0, got ${gamma}`);
    }
  });
});

describe('the loss of a perfect network on Gaussian data', () => {
  const data = { mean: 0.3, std: 0.5 };
  const count = 200_000;
  const x0 = normals(1, count).map((x) => data.mean + data.std * x);

  /** Mean of the squared errors, and its standard error. */
  const lossAt = (predict: TargetName, t: number): { loss: number; error: number } => {
    const diffusion = gaussianDiffusion({ schedule, predict });
    const eps = normals(2, count, t);
    const prediction = gaussianDenoiser(data, diffusion)(diffusion.qSample(x0, t, eps), t);
    const target = diffusion.target(x0, eps, t);
    const squares = target.map((value, i) => (value - (prediction[i] as number)) ** 2);
    const loss = squares.reduce((sum, square) => sum + square, 0) / count;
    return { loss, error: loss * Math.sqrt(2 / count) }; // squares of a normal number vary by twice their mean squared
  };

  test.each([10, 100, 300, 600, 999])('sits on the floor std^2 / (std^2 + sigma^2) at t = %i', (t) => {
    const floor = gaussianEpsFloor(data.std, schedule.sigma[t] as number);
    const { loss, error } = lossAt('eps', t);
    expect(Math.abs(loss - floor)).toBeLessThan(5 * error);
  });

  test.each([100, 600])('is the same under min-SNR whatever is predicted, at t = %i', (t) => {
    const alphaBar = schedule.alphaBar[t] as number;
    const weighted = (name: TargetName): number => lossAt(name, t).loss * minSnr(5).weight(alphaBar, targets[name], 1);
    expectClose(weighted('eps'), weighted('x0'), 1e-9);
    expectClose(weighted('v'), weighted('x0'), 1e-9);
  });

  test('is far above the floor for a prediction of random noise', () => {
    const [eps, guess] = [normals(3, count), normals(4, count)];
    const loss = eps.reduce((sum, value, i) => sum + (value - (guess[i] as number)) ** 2, 0) / count;
    expect(loss).toBeGreaterThan(1.9);
    expect(lossAt('eps', 300).loss).toBeLessThan(1);
  });
});
