import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type SpacingName, spacedTimesteps, spacings } from '../../src/samplers/index.ts';
import {
  cosineSchedule,
  levelAt,
  linearSchedule,
  rescaleZeroTerminalSnr,
  type Schedule,
  sigmaFromAlphaBar,
} from '../../src/schedules/index.ts';
import { expectClose } from '../schedules/close.ts';

const { timesteps } = JSON.parse(readFileSync(new URL('./diffusers-steps.json', import.meta.url), 'utf8')) as {
  timesteps: { spacing: SpacingName; steps: number; t: number[] }[];
};

describe('spacedTimesteps', () => {
  test.each(timesteps)('$spacing, $steps steps: the timesteps of diffusers', ({ spacing, steps, t }) => {
    expect(spacedTimesteps(spacing, linearSchedule(), steps)).toEqual(t);
  });

  test('leading, ten steps', () => {
    expect(spacedTimesteps('leading', linearSchedule(), 10)).toEqual([900, 800, 700, 600, 500, 400, 300, 200, 100, 0]);
  });

  test('quadratic: squares of evenly spaced roots, up to 0.8 T', () => {
    const roots = Array.from({ length: 10 }, (_, i) => (Math.sqrt(800) * i) / 9);
    const squares = roots.map((root) => Math.floor(root * root + 1e-9)).reverse();
    expect(spacedTimesteps('quadratic', linearSchedule(), 10)).toEqual(squares);
  });

  test.each(Object.keys(spacings) as SpacingName[])('%s descends strictly within the timesteps', (spacing) => {
    const sizes = fc.integer({ min: 1, max: 1000 }).chain((total) => {
      return fc.tuple(fc.constant(total), fc.oneof(fc.integer({ min: 1, max: total }), fc.constant(total)));
    });
    fc.assert(
      fc.property(sizes, ([total, count]) => {
        const steps = spacedTimesteps(spacing, cosineSchedule({ steps: total }), count);
        expect(steps.length).toBe(count);
        const integers = spacing === 'karras' || steps.every(Number.isInteger);
        expect(integers && steps.every((t, i) => t >= 0 && t < (steps[i - 1] ?? total))).toBe(true);
        if (count === total && spacing !== 'karras') expect(steps.at(0)).toBe(total - 1);
      }),
    );
  });

  test("karras: the noise levels of the paper, between the schedule's own", () => {
    const schedule = linearSchedule();
    const timesteps = spacedTimesteps('karras', schedule, 10);
    const [least, most] = [schedule.sigma[0] as number, schedule.sigma[999] as number];
    for (const [i, t] of timesteps.entries()) {
      const root = most ** (1 / 7) + (i / 9) * (least ** (1 / 7) - most ** (1 / 7));
      expectClose(sigmaFromAlphaBar(levelAt(schedule, t)), root ** 7, 1e-9);
    }
    expect([timesteps[0], timesteps[9]]).toEqual([999, 0]);
  });

  test('karras begins no higher than sigma 200, or at pure noise', () => {
    const top = ({ sigma }: Schedule): number => sigma.at(-1) as number;
    const first = (schedule: Schedule): number =>
      sigmaFromAlphaBar(levelAt(schedule, spacedTimesteps('karras', schedule, 10)[0] as number));
    expect(top(cosineSchedule())).toBeGreaterThan(20_000);
    expectClose(first(cosineSchedule()), 200, 1e-9);
    expectClose(first(linearSchedule()), top(linearSchedule()), 1e-9);
    expect(first(rescaleZeroTerminalSnr(linearSchedule()))).toBe(Infinity);
  });

  test('a list of its own is taken as it is', () => {
    expect(spacedTimesteps([999, 500.5, 3], linearSchedule(), 3)).toEqual([999, 500.5, 3]);
    const refused =
      (list: number[]): (() => unknown) =>
      () =>
        spacedTimesteps(list, linearSchedule(), 3);
    expect(refused([999, 3])).toThrow('the list of timesteps has 2 entries for 3 steps');
    expect(refused([1000, 2, 1])).toThrow('the list of timesteps has 1000; timesteps are numbers from 0 to 999');
    expect(refused([10, 10, 1])).toThrow('must fall from entry to entry; 10 follows 10');
  });

  test('refuses what it does not know', () => {
    expect(() => spacedTimesteps('even' as SpacingName, linearSchedule(), 10)).toThrow("unknown spacing 'even'");
    expect(() => spacedTimesteps('leading', linearSchedule(), 1001)).toThrow(
      "a sampler's steps must be an integer from 1 to 1000",
    );
  });
});
