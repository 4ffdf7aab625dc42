import { describe, expect, test } from 'vitest';
import type { ScheduleEntry } from '../../src/schedules/index.ts';

/** What every schedule of the registry keeps to. A new schedule passes by being listed there. */
export function scheduleConformance(name: string, { create, description }: ScheduleEntry): void {
  describe(`schedule '${name}' conforms`, () => {
    test.each([1, 2, 10, 1000, 4000])('keeps its identities at T = %i', (steps) => {
      const { beta, alphaBar, sigma, ...rest } = create({ steps });
      expect(rest.steps).toBe(steps);
      expect([beta.length, alphaBar.length, sigma.length]).toEqual([steps, steps, steps]);
      let product = 1;
      for (let t = 0; t < steps; t++) {
        const [b, a, s] = [beta[t] as number, alphaBar[t] as number, sigma[t] as number];
        expect(b).toBeGreaterThan(0);
        expect(b).toBeLessThanOrEqual(1);
        expect(b).toBeGreaterThanOrEqual(beta[t - 1] ?? 0);
        expect(a).toBeGreaterThanOrEqual(0);
        expect(a).toBeLessThan(alphaBar[t - 1] ?? 1);
        expect(s).toBeGreaterThan(sigma[t - 1] ?? 0);
        product *= 1 - b;
        expect(a).toBe(product);
        expect(1 / (1 + s * s)).toBeCloseTo(a, 12);
      }
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
      expect(create({ steps: 50 }).beta).toEqual(schedule.beta);
    });

    test.each([0, -1, 1.5, Number.NaN, Infinity, 1e9])('refuses %s steps', (steps) => {
      expect(() => create({ steps })).toThrow(
        `steps of schedule '${name}' must be an integer from 1 to 1000000, got ${steps}`,
      );
    });

    test('refuses each parameter when it is not a number in range', () => {
      for (const parameter of Object.keys(create().parameters)) {
        for (const value of [-0.1, 1.1, Number.NaN]) {
          expect(() => create({ [parameter]: value })).toThrow(`${parameter} of schedule '${name}' must be a number`);
        }
      }
    });

    test('is described in one line', () => {
      expect(description).toMatch(/^.{10,100}$/);
    });
  });
}
