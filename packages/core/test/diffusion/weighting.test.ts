import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { gaussianDenoiser, gaussianEpsFloor } from '../../../testkit/src/distributions.ts';
import {
  createWeighting,
  gaussianDiffusion,
  minSnr,
  simple,
  type TargetName,
  targets,
  weightings,
} from '../../src/diffusion/index.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
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
      expectClose(weight(schedule.alphaBar[t] as number, targets[name]), expected, 1e-11);
    }
  });

  test('simple is 1 for everything', () => {
    for (const target of Object.values(targets)) expect(simple().weight(0.3, target)).toBe(1);
  });

  test('can be made again from name and parameters', () => {
    for (const name of Object.keys(weightings)) {
      const weighting = createWeighting(name);
      expect(weighting.name).toBe(name);
      expect(createWeighting(name, weighting.parameters).parameters).toEqual(weighting.parameters);
    }
    expect(createWeighting('min-snr', { gamma: 2 }).weight(0.9, targets.x0)).toBe(2);
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
    const weighted = (name: TargetName): number => lossAt(name, t).loss * minSnr(5).weight(alphaBar, targets[name]);
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
