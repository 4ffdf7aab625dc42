import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  alphaBarFromSigma,
  cosineSchedule,
  createSchedule,
  linearSchedule,
  type Schedule,
  scheduleFromBetas,
  schedules,
  sigmaFromAlphaBar,
  snr,
} from '../../src/schedules/index.ts';
import { expectClose } from './close.ts';
import { scheduleConformance } from './schedule-conformance.ts';

for (const [name, entry] of Object.entries(schedules)) scheduleConformance(name, entry);

const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));

interface Golden {
  idx: number[];
  beta: number[];
  alpha_bar: number[];
  sigma_ve?: number[];
}
const golden = readJson('../../../../golden/schedules.json') as Record<'linear' | 'cosine', Golden>;

describe('golden numbers, float64', () => {
  const close = (found: Float64Array, index: number[], expected: number[]): void => {
    for (const [i, t] of index.entries()) expectClose(found[t], expected[i] as number, 1e-12);
  };

  test.each<[Schedule, Golden]>([
    [linearSchedule(), golden.linear],
    [cosineSchedule(), golden.cosine],
  ])('$name', (schedule, expected) => {
    close(schedule.beta, expected.idx, expected.beta);
    close(schedule.alphaBar, expected.idx, expected.alpha_bar);
    if (expected.sigma_ve) close(schedule.sigma, expected.idx, expected.sigma_ve);
  });
});

describe('diffusers, float32', () => {
  const theirs = readJson('../samplers/diffusers-steps.json') as {
    schedules: Record<string, { t: number[]; beta: number[]; alphaBar: number[] }>;
  };

  test.each(Object.entries(theirs.schedules))('%s', (name, expected) => {
    const { beta, alphaBar } = createSchedule(name);
    for (const [i, t] of expected.t.entries()) {
      expect(Math.abs((beta[t] as number) - (expected.beta[i] as number))).toBeLessThan(1e-7);
      expect(Math.abs((alphaBar[t] as number) - (expected.alphaBar[i] as number))).toBeLessThan(1e-6);
    }
  });

  test('covers every schedule', () => {
    expect(Object.keys(theirs.schedules).sort()).toEqual(Object.keys(schedules).sort());
  });
});

describe('noise levels', () => {
  test('go from the variance-preserving to the variance-exploding view and back', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-4, max: 1e4, noNaN: true }), (sigma) => {
        expectClose(sigmaFromAlphaBar(alphaBarFromSigma(sigma)), sigma, 1e-7);
        expectClose(snr(alphaBarFromSigma(sigma)), 1 / (sigma * sigma), 1e-7);
      }),
    );
    expect(snr(0)).toBe(0);
    expect(sigmaFromAlphaBar(0)).toBe(Infinity);
  });

  test('may end at pure noise', () => {
    const { alphaBar, sigma } = linearSchedule({ steps: 10, betaEnd: 1 });
    expect(alphaBar[9]).toBe(0);
    expect(sigma[9]).toBe(Infinity);
    expect(cosineSchedule({ maxBeta: 1 }).alphaBar[999]).toBe(0);
  });

  test('a larger first beta destroys the data sooner', () => {
    const gentle = linearSchedule();
    const harsh = linearSchedule({ betaStart: 0.02 });
    expect(gentle.alphaBar[50]).toBeGreaterThan(0.9);
    expect(harsh.alphaBar[50]).toBeLessThan(0.4);
  });
});

describe('refusals', () => {
  test('name what is wrong and what would be right', () => {
    expect(() => createSchedule('cosin')).toThrow(
      "unknown schedule 'cosin'; known are: linear, cosine, scaled-linear, sigmoid",
    );
    expect(() => createSchedule('toString')).toThrow("unknown schedule 'toString'");
    expect(() => createSchedule('linear', { s: 0.01 })).toThrow(
      "schedule 'linear' has no option 's'; it has: steps, betaStart, betaEnd",
    );
    expect(() => linearSchedule({ betaStart: 0.5 })).toThrow(
      "betaStart of schedule 'linear' must be a number above 0 and at most 0.02, got 0.5",
    );
    expect(() => linearSchedule({ betaStart: 0 })).toThrow("betaStart of schedule 'linear' must be a number above 0");
  });

  test('have a code', () => {
    expect(() => linearSchedule({ betaEnd: 2 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
  });

  test('cover betas that leave float64', () => {
    const make = (...beta: number[]): Schedule => scheduleFromBetas('mine', {}, Float64Array.from(beta));
    expect(make(0.1, 0.2).alphaBar[1]).toBeCloseTo(0.72, 12);
    expect(() => make(0.1, 1, 0.5)).toThrow("schedule 'mine' adds no noise at timestep 2: no signal is left before it");
    expect(() => make(1e-20)).toThrow("schedule 'mine' adds no noise at timestep 0: its beta is too small");
    expect(() => make(0.1, Number.NaN)).toThrow("beta[1] of schedule 'mine' must be a number above 0");
    expect(() => make()).toThrow("steps of schedule 'mine' must be an integer from 1");
  });
});
