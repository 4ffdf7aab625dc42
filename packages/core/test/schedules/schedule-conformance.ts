import { describe, expect, test } from 'vitest';
import {
  createSchedule,
  levelAt,
  rescaleZeroTerminalSnr,
  type Schedule,
  type ScheduleEntry,
  sigmaAt,
  timestepOf,
} from '../../src/schedules/index.ts';
import { expectClose } from './close.ts';

/** What holds for any schedule, wherever it comes from: its three views agree, and each moves from step to step. */
export function expectConsistent({ beta, alphaBar, sigma, steps }: Schedule): void {
  expect([beta.length, alphaBar.length, sigma.length]).toEqual([steps, steps, steps]);
  for (let t = 0; t < steps; t++) {
    const [b, a, s] = [beta[t] as number, alphaBar[t] as number, sigma[t] as number];
    expect(b).toBeGreaterThan(0);
    expect(b).toBeLessThanOrEqual(1);
    expect(a).toBeGreaterThanOrEqual(0);
    expect(a).toBeLessThan(alphaBar[t - 1] ?? 1);
    expect(s).toBeGreaterThan(sigma[t - 1] ?? 0);
    expectClose(b, 1 - a / (alphaBar[t - 1] ?? 1), 1e-14, 1);
    expectClose(1 / (1 + s * s), a, 1e-14);
    expect(s === Infinity).toBe(a === 0);
  }
}

/** What every schedule of the registry keeps to. A new schedule passes by being listed there. */
export function scheduleConformance(name: string, { create, description }: ScheduleEntry): void {
  describe(`schedule '${name}' conforms`, () => {
    test.each([1, 2, 10, 1000, 4000])('keeps its identities at T = %i', (steps) => {
      const schedule = create({ steps });
      expect(schedule.steps).toBe(steps);
      expectConsistent(schedule);
    });

    test('starts near the data and ends near pure noise', () => {
      const { alphaBar, steps } = create();
      expect(steps).toBe(1000);
      expect(alphaBar[0]).toBeGreaterThan(0.999);
      expect(alphaBar[100]).toBeGreaterThan(0.8);
      expect(alphaBar[999]).toBeLessThan(0.01);
    });

    test('can be made again from its parameters', () => {
      const schedule = create({ steps: 50 });
      expect(schedule.name).toBe(name);
      expect(create({ steps: schedule.steps, ...schedule.parameters })).toEqual(schedule);
      expect(createSchedule(name, { steps: 50, ...schedule.parameters })).toEqual(schedule);
    });

    test('can end at pure noise, and be made again so', () => {
      const schedule = create({ steps: 50 });
      const rescaled = rescaleZeroTerminalSnr(schedule);
      expectConsistent(rescaled);
      expect([rescaled.alphaBar[49], rescaled.beta[49], rescaled.sigma[49]]).toEqual([0, 1, Infinity]);
      expectClose(rescaled.alphaBar[0], schedule.alphaBar[0] as number, 1e-14);
      expect(rescaled.name).toBe(name);
      expect(rescaled.parameters).toEqual({ ...schedule.parameters, zeroTerminalSnr: 1 });
      expect(createSchedule(name, { steps: 50, ...rescaled.parameters })).toEqual(rescaled);
    });

    test.each([0, 1])('has levels between its timesteps, zeroTerminalSnr %i', (zeroTerminalSnr) => {
      const schedule = createSchedule(name, { steps: 20, zeroTerminalSnr });
      for (let t = 0; t < 20; t++) {
        expect(levelAt(schedule, t)).toBe(schedule.alphaBar[t]);
        expect(timestepOf(schedule, schedule.sigma[t] as number)).toBe(t);
      }
      for (let t = 0.05; t < 19; t += 0.3) {
        expect(levelAt(schedule, t)).toBeLessThan(levelAt(schedule, Math.floor(t)));
        expect(levelAt(schedule, t)).toBeGreaterThan(levelAt(schedule, Math.ceil(t)));
        expectClose(timestepOf(schedule, sigmaAt(schedule, t)), t, 1e-12);
      }
    });

    test.each([0, -1, 1.5, Number.NaN, Infinity, 1e9])('refuses %s steps', (steps) => {
      expect(() => create({ steps })).toThrow(
        `steps of schedule '${name}' must be an integer from 1 to 1000000, got ${steps}`,
      );
    });

    test('refuses each parameter when it is not a number in range', () => {
      for (const parameter of Object.keys(create().parameters)) {
        for (const value of [-1e9, 1e101, Number.NaN, -Infinity, Infinity]) {
          const refused = expect(() => create({ [parameter]: value }), `${parameter} = ${value}`);
          refused.toThrow(`${parameter} of schedule '${name}' must be a number`);
        }
      }
    });

    test('is described in one line', () => {
      expect(description).toMatch(/^.{10,100}$/);
    });
  });
}
