import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gaussianDenoiser } from '../../../testkit/src/distributions.ts';
import { idealDenoiser } from '../../../testkit/src/ideal-denoiser.ts';
import { samplerUpdate, simulate } from '../../../testkit/src/simulate.ts';
import { type Diffusion, gaussianDiffusion, type TargetName, targets } from '../../src/diffusion/index.ts';
import {
  type Sampler,
  type SamplerEntry,
  type SamplerOptions,
  type SamplerStep,
  type SpacingName,
  spacings,
} from '../../src/samplers/index.ts';
import { schedules } from '../../src/schedules/index.ts';
import { normals } from '../random/normal.ts';
import { expectAllClose, expectClose } from '../schedules/close.ts';
import { gaussianMap } from './gaussian-map.ts';

const predictions = Object.keys(targets) as TargetName[];

/**
 * What every sampler of the registry keeps to. A new sampler passes by being listed there.
 *
 * @param variants options to try besides the defaults: each is put over `{ steps }`.
 */
export function samplerConformance(name: string, entry: SamplerEntry, variants: Partial<SamplerOptions>[]): void {
  for (const variant of [{}, ...variants]) {
    const make = (options: SamplerOptions): Sampler => entry.create({ ...variant, ...options });
    describe(`sampler '${name}' ${JSON.stringify(variant)} conforms`, () => {
      tables(name, make);
      oracles(make);
    });
  }

  describe(`sampler '${name}' refuses`, () => refusals(name, entry));
}

/** Every schedule with every prediction, at T timesteps. */
function allDiffusions(steps: number): Diffusion[] {
  return Object.values(schedules).flatMap((schedule) =>
    predictions.map((predict) => gaussianDiffusion({ schedule: schedule.create({ steps }), predict })),
  );
}

/** Properties of the table alone. */
function tables(name: string, make: (options: SamplerOptions) => Sampler): void {
  const diffusions = allDiffusions(100);

  test('plans finite steps, from the noisier to the cleaner, the last one without noise', () => {
    const spacing = fc.constantFrom(...(Object.keys(spacings) as SpacingName[]));
    fc.assert(
      fc.property(fc.constantFrom(...diffusions), fc.integer({ min: 1, max: 100 }), spacing, (diffusion, steps, s) => {
        const sampler = make({ steps, spacing: s });
        expect([sampler.name, sampler.steps]).toEqual([name, steps]);
        const plan = sampler.plan(diffusion);
        // One evaluation a step, or two for each step but the last.
        expect([steps, 2 * steps - 1]).toContain(plan.length);
        for (const [i, step] of plan.entries()) {
          // Each row begins where the one before ended.
          if (i > 0) expect(step.alphaBar).toBe(plan[i - 1]?.alphaBarNext);
          expect(step.t >= 0 && step.t <= 99).toBe(true);
          expectFinite(step);
          expect(step.clip).toBe(1);
          expect(step.noise).toBeGreaterThanOrEqual(0);
        }
        const memory = [plan[0]?.history, plan[0]?.older, plan[1]?.older ?? 0];
        expect(memory.every((factor) => Math.abs(factor as number) === 0)).toBe(true);
        expect(plan.at(-1)?.noise).toBe(0);
        expect(plan.at(-1)?.alphaBarNext).toBe(1);
        expect(make({ steps, spacing: s }).plan(diffusion)).toEqual(plan);
      }),
    );
  });

  test("estimates x0 as the diffusion does, and clips it at its option's bound", () => {
    for (const diffusion of diffusions) {
      const inputs = {
        x: normals(1, 8),
        prediction: normals(2, 8),
        history: normals(3, 8),
        older: normals(5, 8),
        noise: normals(4, 8),
      };
      for (const [i, step] of make({ steps: 7, clip: Infinity }).plan(diffusion).entries()) {
        const { x0 } = samplerUpdate(step, inputs);
        const expected = diffusion.predictX0(inputs.x, inputs.prediction, step.t);
        // What is small beside x0's own size is rounding.
        expectAllClose(x0, expected, 1e-12 * Math.max(1, Math.abs(step.x0FromX), Math.abs(step.x0FromPrediction)));
        const clipped = make({ steps: 7, clip: 0.25 }).plan(diffusion)[i];
        expect(clipped).toEqual({ ...step, clip: 0.25 });
      }
    }
  });

  test('plans for a schedule that ends at pure noise, unless the network predicts the noise', () => {
    const schedule = schedules.linear.create({ steps: 20, betaEnd: 1 });
    const plan = (predict: TargetName): unknown =>
      make({ steps: 5, spacing: 'trailing' }).plan(gaussianDiffusion({ schedule, predict }));
    for (const predict of ['x0', 'v'] as const) {
      for (const step of plan(predict) as SamplerStep[]) expectFinite(step);
    }
    expect(() => plan('eps')).toThrow("'eps' does not determine 'x0' where alphaBar is 0");
    expect(() => plan('edm')).toThrow("'edm'");
  });
}

/** Every number of a row. */
function expectFinite(step: SamplerStep): void {
  const numbers = Object.values(step)
    .flat()
    .filter((value) => value !== undefined);
  for (const value of numbers) expect(Number.isFinite(value)).toBe(true);
}

/** Runs against networks that are exact. */
function oracles(make: (options: SamplerOptions) => Sampler): void {
  const noise = (width: number) => (step: number) => normals(11, width, step + 1);

  test('ends at the data when the data is one point', () => {
    const point = Float64Array.of(0.5, -0.25, 0);
    for (const diffusion of allDiffusions(200)) {
      const denoiser = idealDenoiser([point], diffusion);
      for (const steps of [1, 7, 200]) {
        const sampler = make({ steps, spacing: 'trailing' });
        const end = simulate(sampler, diffusion, denoiser, normals(12, 3), noise(3)).at(-1);
        expectAllClose(end?.x ?? [], point, 1e-8);
      }
    }
  });

  test('ends on the points of a data set, on each about equally often', () => {
    const data = [-0.8, 0.1, 0.7].map((x) => Float64Array.of(x));
    const diffusion = gaussianDiffusion({ schedule: schedules.linear.create() });
    const denoiser = idealDenoiser(data, diffusion);
    // Where steps are coarse near the data, a rare path ends between two points.
    const sampler = make({ steps: 100, spacing: 'quadratic' });
    const runs = 300;
    const counts = [0, 0, 0];
    for (let run = 0; run < runs; run++) {
      const fresh = normals(13, 201, run); // x_T, and the noise of up to two rows a step
      const trajectory = simulate(sampler, diffusion, denoiser, fresh.subarray(200), (i) => fresh.subarray(i, i + 1));
      const x = trajectory.at(-1)?.x[0] as number;
      const distances = data.map((point) => Math.abs(x - (point[0] as number)));
      const nearest = distances.indexOf(Math.min(...distances));
      expect(distances[nearest]).toBeLessThan(0.01);
      counts[nearest] = (counts[nearest] as number) + 1;
    }
    // Five standard deviations of a count of chance 1/3 are 41.
    for (const count of counts) expect(Math.abs(count - runs / 3)).toBeLessThan(41);
  });

  test('has the same trajectory whatever an exact network predicts', () => {
    const data = { mean: 0.2, std: 0.3 };
    const run = (predict: TargetName): number[] => {
      const diffusion = gaussianDiffusion({ schedule: schedules.linear.create(), predict });
      const denoiser = gaussianDenoiser(data, diffusion);
      return simulate(make({ steps: 20 }), diffusion, denoiser, normals(14, 4), noise(4)).flatMap(({ x }) => [...x]);
    };
    for (const predict of predictions) expectAllClose(run(predict), run('eps'), 1e-10);
  });

  test('is a function of its inputs, bit for bit', () => {
    const run = (): Float64Array[] => {
      const diffusion = gaussianDiffusion({ schedule: schedules.cosine.create(), predict: 'v' });
      const denoiser = gaussianDenoiser({ mean: 0, std: 1 }, diffusion);
      return simulate(make({ steps: 25 }), diffusion, denoiser, normals(15, 16), noise(16)).map(({ x }) => x);
    };
    expect(run()).toEqual(run());
  });

  test('approaches Gaussian data as steps are added', () => {
    const data = { mean: 0.3, std: 0.5 };
    const diffusion = gaussianDiffusion({ schedule: schedules.linear.create() });
    const errors = [20, 100, 1000].map((steps) => {
      const sampled = gaussianMap(make({ steps, spacing: 'trailing', clip: Infinity }), diffusion, data);
      return Math.hypot(sampled.mean - data.mean, sampled.std - data.std);
    });
    // That x_T ~ N(0, 1) and not quite q(x_T) is an error that no number of steps mends.
    const floor = 2e-3;
    expect(errors[1]).toBeLessThan(Math.max(floor, (errors[0] as number) / 1.5));
    expect(errors[2]).toBeLessThan(Math.max(floor, (errors[1] as number) / 1.5));
    expectClose(errors[2], 0, 0.01, 1);
  });
}

/** Options that no sampler takes. */
function refusals(name: string, entry: SamplerEntry): void {
  const diffusion = gaussianDiffusion({ schedule: schedules.linear.create({ steps: 50 }) });

  test.each([0, -1, 1.5, Number.NaN, Infinity])('%s steps', (steps) => {
    expect(() => entry.create({ steps })).toThrow(`steps of sampler '${name}' must be an integer from 1 to`);
  });

  test('more steps than the diffusion has', () => {
    expect(() => entry.create({ steps: 51 }).plan(diffusion)).toThrow(
      "a sampler's steps must be an integer from 1 to 50, got 51",
    );
  });

  test('an unknown spacing', () => {
    expect(() => entry.create({ steps: 5, spacing: 'even' as SpacingName })).toThrow(
      "unknown spacing 'even'; known are: leading, trailing, linspace, quadratic, karras",
    );
  });

  test.each([0, -1, Number.NaN])('to clip at %s', (clip) => {
    expect(() => entry.create({ steps: 5, clip })).toThrow(`clip of sampler '${name}' must be a number above 0`);
  });
}
