import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createSchedule,
  rescaleZeroTerminalSnr,
  type Schedule,
  scheduleFromAlphaBars,
  scheduleFromBetas,
  scheduleFromSigmas,
  schedules,
} from '../../src/schedules/index.ts';
import { expectClose } from './close.ts';
import { expectConsistent } from './schedule-conformance.ts';

/** Relative closeness of the betas, and so of everything; both ends of float64's range for alphaBar are in the registry. */
function expectSame(found: Schedule, expected: Schedule, tolerance: number): void {
  expect(found.steps).toBe(expected.steps);
  for (let t = 0; t < found.steps; t++) {
    expectClose(found.beta[t], expected.beta[t] as number, tolerance);
    expectClose(found.alphaBar[t], expected.alphaBar[t] as number, tolerance);
  }
}

describe('schedules from arrays', () => {
  test.each(Object.keys(schedules))("%s is the same from each of its views, and called 'custom'", (name) => {
    const schedule = createSchedule(name, { steps: 200 });
    for (const copy of [
      scheduleFromBetas(schedule.beta),
      scheduleFromAlphaBars(schedule.alphaBar),
      scheduleFromSigmas(schedule.sigma),
    ]) {
      expectConsistent(copy);
      // Where alphaBar is near 1, its last digits are all that is left of a beta of 1e-6.
      expectSame(copy, schedule, 1e-9);
      expect([copy.name, copy.parameters]).toEqual(['custom', {}]);
    }
    expect(scheduleFromAlphaBars(schedule.alphaBar).alphaBar).toEqual(schedule.alphaBar);
    expect(scheduleFromSigmas(schedule.sigma).sigma).toEqual(schedule.sigma);
    expect(scheduleFromBetas(schedule.beta).beta).toEqual(schedule.beta);
  });

  test('any increasing noise levels make a schedule', () => {
    const levels = fc.array(fc.double({ min: 1e-3, max: 10, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(levels, fc.boolean(), (growth, endless) => {
        let level = 0;
        const sigma = growth.map((factor) => (level = level * 1.001 + factor));
        if (endless) sigma.push(Infinity);
        const schedule = scheduleFromSigmas(sigma);
        expectConsistent(schedule);
        if (sigma.length > 1) expectConsistent(rescaleZeroTerminalSnr(schedule));
      }),
    );
  });

  test('pure noise may be given in each view', () => {
    const last = ({ alphaBar, beta, sigma }: Schedule): (number | undefined)[] => [
      alphaBar.at(-1),
      beta.at(-1),
      sigma.at(-1),
    ];
    expect(last(scheduleFromBetas([0.5, 1]))).toEqual([0, 1, Infinity]);
    expect(last(scheduleFromAlphaBars([0.5, 0]))).toEqual([0, 1, Infinity]);
    expect(last(scheduleFromSigmas([1, Infinity]))).toEqual([0, 1, Infinity]);
    expect(scheduleFromSigmas([1, Infinity]).alphaBar[0]).toBe(0.5);
  });

  test('the array is copied', () => {
    const beta = Float64Array.of(0.1, 0.2);
    const schedule = scheduleFromBetas(beta);
    beta[0] = 0.9;
    expect(schedule.beta[0]).toBe(0.1);
  });

  test.each<[() => Schedule, string]>([
    [() => scheduleFromBetas([]), "steps of schedule 'custom' must be an integer from 1"],
    [() => scheduleFromBetas([0.1, Number.NaN]), "beta[1] of schedule 'custom' must be a number above 0 and at most 1"],
    [() => scheduleFromBetas([0.1, 0]), "beta[1] of schedule 'custom' must be a number above 0 and at most 1, got 0"],
    [() => scheduleFromBetas([0.1, 1, 0.5]), "'custom' adds no noise at timestep 2: no signal is left before it"],
    [() => scheduleFromBetas([1e-20]), "'custom' adds no noise at timestep 0: its step is too small for float64"],
    [() => scheduleFromBetas([2], { name: 'mine' }), "beta[0] of schedule 'mine' must be a number above 0"],
    [() => scheduleFromAlphaBars([]), "steps of schedule 'custom' must be an integer from 1"],
    [() => scheduleFromAlphaBars([1]), "alphaBar[0] of schedule 'custom' must be in [0, 1), got 1"],
    [
      () => scheduleFromAlphaBars([0.5, 0.5]),
      "alphaBar[1] of schedule 'custom' must be at least 0 and below the 0.5 before it, got 0.5",
    ],
    [() => scheduleFromAlphaBars([0.5, -0.1]), "alphaBar[1] of schedule 'custom' must be at least 0 and below the 0.5"],
    [() => scheduleFromAlphaBars([Number.NaN]), "alphaBar[0] of schedule 'custom' must be in [0, 1), got NaN"],
    [() => scheduleFromSigmas([]), "steps of schedule 'custom' must be an integer from 1"],
    [() => scheduleFromSigmas([0]), "sigma[0] of schedule 'custom' must be above 0 and at most 1e+100, or Infinity"],
    [() => scheduleFromSigmas([2, 1]), "sigma[1] of schedule 'custom' must be above 2 and at most 1e+100"],
    [() => scheduleFromSigmas([1, Infinity, Infinity]), "sigma[2] of schedule 'custom' must be above Infinity"],
    [() => scheduleFromSigmas([Number.NaN]), "sigma[0] of schedule 'custom' must be above 0"],
    [() => scheduleFromSigmas([1e200]), 'must be above 0 and at most 1e+100, or Infinity, got 1e+200'],
    [() => scheduleFromSigmas([1e-10]), "'custom' adds no noise at timestep 0: its step is too small for float64"],
  ])('%# refuses, naming the entry', (make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(message) }));
  });
});
