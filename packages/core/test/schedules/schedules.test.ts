import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  cosineSchedule,
  createSchedule,
  edmSchedule,
  karrasSchedule,
  linearSchedule,
  logLinearSchedule,
  rescaleZeroTerminalSnr,
  type Schedule,
  schedules,
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
const golden = readJson('../../../../golden/schedules.json') as Record<'linear' | 'cosine', Golden> & {
  karras_n18_rho7_002_80: number[];
};

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

  test('karras', () => {
    const { sigma } = karrasSchedule({ steps: 18 });
    golden.karras_n18_rho7_002_80.toReversed().forEach((expected, t) => {
      expectClose(sigma[t], expected, 1e-13);
    });
  });
});

describe('closed forms, float64', () => {
  test('log-linear: the ratio of neighbours is constant, the ends are exact', () => {
    const { sigma } = logLinearSchedule({ steps: 101, sigmaMin: 0.01, sigmaMax: 100 });
    expect([sigma[0], sigma[100]]).toEqual([0.01, 100]);
    sigma.forEach((level, t) => {
      expectClose(level, 10 ** (-2 + t / 25), 1e-13);
    });
  });

  test('karras: rho 1 is linear, a large rho comes near log-linear', () => {
    const range = { steps: 50, sigmaMin: 0.1, sigmaMax: 5 };
    karrasSchedule({ ...range, rho: 1 }).sigma.forEach((level, t) => {
      expectClose(level, 0.1 + (t / 49) * 4.9, 1e-13);
    });
    const even = logLinearSchedule(range).sigma;
    karrasSchedule({ ...range, rho: 1000 }).sigma.forEach((level, t) => {
      expectClose(level, even[t] as number, 2e-3);
    });
  });

  test('edm: the levels are distributed by the law, cut off at its ends', () => {
    const { sigma, steps } = edmSchedule({ steps: 5001, mean: -0.4, deviation: 1 });
    expect([sigma[0], sigma[5000]]).toEqual([0.002, 80]);
    // Mean, variance, median, and quartiles at 0.6744897501960817 deviations. The first and the last level stand for half as
    // much of the law as the others and count as much, which widens it a little.
    const logs = sigma.map(Math.log);
    const mean = logs.reduce((sum, x) => sum + x, 0) / steps;
    const variance = logs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / steps;
    expectClose(mean, -0.4, 1e-3);
    expectClose(variance, 1, 1e-2);
    expectClose(logs[2500], -0.4, 1e-5);
    expectClose(logs[1250], -0.4 - 0.6744897501960817, 1e-5);
    expectClose(logs[3750], -0.4 + 0.6744897501960817, 1e-5);
  });

  test('edm: a narrow band of the law is nearly uniform', () => {
    const { sigma } = edmSchedule({ steps: 11, mean: 0, deviation: 20, sigmaMin: 0.9, sigmaMax: 1.1 });
    sigma.forEach((level, t) => {
      expectClose(Math.log(level), Math.log(0.9) + (t / 10) * Math.log(1.1 / 0.9), 1e-5, 1);
    });
  });

  test('zero terminal SNR: sqrt(alphaBar) is shifted and scaled', () => {
    const before = linearSchedule().alphaBar.map(Math.sqrt);
    const { alphaBar, beta } = rescaleZeroTerminalSnr(linearSchedule());
    const [first, last] = [before[0] as number, before[999] as number];
    alphaBar.forEach((value, t) => {
      expectClose(value, ((((before[t] as number) - last) * first) / (first - last)) ** 2, 1e-14);
    });
    expect([alphaBar[999], beta[999]]).toEqual([0, 1]);
    const twice = rescaleZeroTerminalSnr(rescaleZeroTerminalSnr(linearSchedule()));
    twice.alphaBar.forEach((value, t) => {
      expectClose(value, alphaBar[t] as number, 1e-14);
    });
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

  const levels = readJson('diffusers-schedules.json') as {
    t: number[];
    zeroTerminalSnr: Record<string, { beta: number[]; alphaBar: number[] }>;
    sigma: Record<string, number[]>;
  };

  test.each(Object.entries(levels.zeroTerminalSnr))('%s, zero terminal SNR', (name, expected) => {
    const { beta, alphaBar } = createSchedule(name, { zeroTerminalSnr: 1 });
    for (const [i, t] of levels.t.entries()) {
      expect(Math.abs((beta[t] as number) - (expected.beta[i] as number))).toBeLessThan(2e-6);
      expect(Math.abs((alphaBar[t] as number) - (expected.alphaBar[i] as number))).toBeLessThan(1e-6);
    }
  });

  test.each(Object.entries(levels.sigma))('%s, float64', (name, expected) => {
    const { sigma } = createSchedule(name);
    for (const [i, t] of levels.t.entries()) expectClose(sigma[t], expected[i] as number, 1e-9);
  });

  test('covers every schedule', () => {
    const known = [...Object.keys(theirs.schedules), ...Object.keys(levels.sigma)];
    expect(known.sort()).toEqual(Object.keys(schedules).sort());
  });
});

describe('beta schedules', () => {
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
      "unknown schedule 'cosin'; known are: linear, cosine, scaled-linear, sigmoid, log-linear, karras, edm",
    );
    expect(() => createSchedule('toString')).toThrow("unknown schedule 'toString'");
    expect(() => createSchedule('linear', { s: 0.01 })).toThrow(
      "schedule 'linear' has no option 's'; it has: steps, betaStart, betaEnd, zeroTerminalSnr",
    );
    expect(() => linearSchedule({ betaStart: 0.5 })).toThrow(
      "betaStart of schedule 'linear' must be a number above 0 and at most 0.02, got 0.5",
    );
    expect(() => linearSchedule({ betaStart: 0 })).toThrow("betaStart of schedule 'linear' must be a number above 0");
    expect(() => logLinearSchedule({ sigmaMin: 20 })).toThrow(
      "sigmaMin of schedule 'log-linear' must be a number above 0 and at most 10, got 20",
    );
    expect(() => createSchedule('linear', { zeroTerminalSnr: 0.5 })).toThrow(
      "zeroTerminalSnr of schedule 'linear' must be an integer from 0 to 1, got 0.5",
    );
    expect(() => createSchedule('linear', { zeroTerminalSnr: 1, steps: 1 })).toThrow(
      "zeroTerminalSnr of schedule 'linear' needs at least 2 timesteps, got 1",
    );
  });

  test.each(['linear', 'scaled-linear', 'sigmoid'])('%s has betas in (0, 1]', (name) => {
    for (const value of [-0.1, 0, 1.1]) {
      expect(() => createSchedule(name, { betaEnd: value })).toThrow(
        `betaEnd of schedule '${name}' must be a number above 0 and at most 1, got ${value}`,
      );
    }
  });

  test('cover levels that float64 does not tell apart', () => {
    expect(() => karrasSchedule({ sigmaMin: 80 })).toThrow("sigma[1] of schedule 'karras' must be above 80");
    expect(() => karrasSchedule({ sigmaMin: 1e-9 })).toThrow("schedule 'karras' adds no noise at timestep 0");
    expect(() => edmSchedule({ mean: 20, deviation: 0.1 })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining("schedule 'edm'") }),
    );
    expect(() => edmSchedule({ mean: -20, deviation: 0.1 })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining("schedule 'edm'") }),
    );
  });

  test('have a code', () => {
    expect(() => linearSchedule({ betaEnd: 2 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
  });
});
