import { describe, expect, test } from 'vitest';
import { gaussianDenoiser } from '../../../testkit/src/distributions.ts';
import { samplerUpdate, simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, posteriorCoefficients } from '../../src/diffusion/index.ts';
import {
  createSampler,
  ddim,
  ddimInversion,
  ddpm,
  dpmSolver,
  dpmSolverSde,
  euler,
  eulerAncestral,
  type LambdaName,
  momentum,
  type Sampler,
  type SamplerStep,
  tutorialDeterministic,
  tutorialStochastic,
} from '../../src/samplers/index.ts';
import { cosineSchedule, linearSchedule } from '../../src/schedules/index.ts';
import { normals } from '../random/normal.ts';
import { expectAllClose, expectClose } from '../schedules/close.ts';
import { gaussianMap } from './gaussian-map.ts';

const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
const noNoise = (): never => {
  throw new Error('a deterministic sampler asked for noise');
};

/** Both samplers do the same to any input, to 1e-12. */
function expectSame(ours: Sampler, theirs: Sampler, over = diffusion): void {
  const [a, b] = [ours.plan(over), theirs.plan(over)];
  expect(a.length).toBe(b.length);
  const [x, prediction, noise, history, older] = [1, 2, 3, 4, 5].map((seed) => normals(seed, 8)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (const [i, row] of a.entries()) {
    const other = b[i] as SamplerStep;
    expect(row.t).toBe(other.t);
    const inputs = { x, prediction, noise, history, older };
    // x' is no larger than the data and the noise, also where the estimate of x0 is.
    expectAllClose(samplerUpdate(row, inputs).x, samplerUpdate(other, inputs).x, 1e-12);
  }
}

describe('identities in float64', () => {
  test.each(['trailing', 'karras', 'leading'] as const)('one step of first order has many names (%s)', (spacing) => {
    const options = { steps: 20, spacing, clip: Infinity };
    const reference = ddim({ ...options, eta: 0 });
    expectSame(euler(options), reference);
    expectSame(dpmSolver({ ...options, order: 1 }), reference);
    expectSame(tutorialDeterministic(options), reference);
    expectSame(momentum({ ...options, gam: 1, mu: 0 }), reference);
    expectSame(eulerAncestral({ ...options, eta: 0 }), reference);
    if (spacing === 'leading') expectSame(ddim({ ...options, compat: 'diffusers' }), reference);
  });

  test('the exact posterior has many names', () => {
    for (const schedule of [linearSchedule({ steps: 200 }), cosineSchedule({ steps: 200 })]) {
      const over = gaussianDiffusion({ schedule });
      const options = { steps: 200, spacing: 'leading', clip: Infinity } as const;
      expectSame(ddim({ ...options, eta: 1 }), ddpm(options), over);
      expectSame(eulerAncestral(options), ddpm(options), over);
      expectSame(momentum({ ...options, gam: 1, mu: 0.5 }), ddpm(options), over);
    }
  });

  test("the tutorial's mean is the posterior's, its variance the large one over alpha", () => {
    const rows = tutorialStochastic({ steps: 50, clip: Infinity }).plan(diffusion);
    for (const row of rows.slice(0, -1)) {
      const { x0, xt, beta } = posteriorCoefficients(row.alphaBar, row.alphaBarNext);
      expectClose(row.x0, x0, 1e-12, 1);
      expectClose(row.x, xt, 1e-12, 1);
      expectClose(row.noise ** 2, beta / (row.alphaBar / row.alphaBarNext), 1e-12);
    }
  });

  test('the stochastic solver without its noise is the deterministic one', () => {
    for (const spacing of ['karras', 'trailing', 'leading'] as const) {
      for (const steps of [5, 20, 200]) {
        const options = { steps, spacing, clip: Infinity };
        expectSame(dpmSolverSde({ ...options, eta: 0 }), dpmSolver(options));
      }
    }
  });
});

describe('the lambda of the tutorial', () => {
  const data = { mean: 1.5, std: 0.7 };

  test('sigma / (sigma + sigma next) keeps the deviation of the data', () => {
    const right = gaussianMap(tutorialDeterministic({ steps: 400, clip: Infinity }), diffusion, data);
    expectClose(right.std, 0.7, 0.01);
    expectClose(right.mean, 1.5, 0.01);
  });

  test('the shrink factor sigma next / sigma in its place makes samples collapse', () => {
    const lambda = (sigma: number, next: number): number => next / sigma;
    const wrong = gaussianMap(tutorialDeterministic({ steps: 400, clip: Infinity, lambda }), diffusion, data);
    expect(wrong.std).toBeLessThan(0.1);
    const named = gaussianMap(tutorialDeterministic({ steps: 400, clip: Infinity, lambda: 'wrong' }), diffusion, data);
    expect(named).toEqual(wrong);
  });

  test('has two names', () => {
    const plan = (lambda?: LambdaName) =>
      createSampler('tutorial-deterministic', { steps: 9, ...(lambda && { lambda }) }).plan(diffusion);
    expect(plan('right')).toEqual(plan());
    expect(plan('wrong')).not.toEqual(plan());
    expect(() => plan('other' as LambdaName)).toThrow("unknown lambda 'other'; known are: right, wrong");
  });
});

describe('ddim inversion', () => {
  test('goes to the noise that ddim makes the data from; the error of the way back falls with the steps', () => {
    const data = { mean: 0.3, std: 0.5 };
    const denoiser = gaussianDenoiser(data, diffusion);
    const x0 = normals(8, 16).map((z) => data.mean + data.std * z);
    const roundTrip = (steps: number): number => {
      const there = simulate(ddimInversion({ steps }), diffusion, denoiser, x0, noNoise).at(-1)?.x as Float64Array;
      const sampler = ddim({ steps, spacing: 'trailing', clip: Infinity });
      const back = simulate(sampler, diffusion, denoiser, there, noNoise).at(-1)?.x as Float64Array;
      return x0.reduce((sum, value, i) => sum + (value - (back[i] as number)) ** 2, 0) / x0.length;
    };
    const [coarse, middle, fine] = [20, 100, 500].map(roundTrip) as [number, number, number];
    expect(middle).toBeLessThan(coarse / 4);
    expect(fine).toBeLessThan(middle / 4);
    expect(fine).toBeLessThan(1e-4);
  });
});

describe('strength', () => {
  test.each([0, 0.25, 1])('%s takes that share of the steps, the last ones', (strength) => {
    for (const sampler of [ddim({ steps: 20 }), dpmSolver({ steps: 20 }), ddpm({ steps: 20 })]) {
      const whole = sampler.plan(diffusion);
      const part = sampler.plan(diffusion, { strength });
      expect(part.length).toBe(20 * strength);
      expect(part.map(({ t }) => t)).toEqual(whole.slice(20 - 20 * strength).map(({ t }) => t));
      // A multistep method begins anew, without a memory of steps that were not taken.
      if (part[0]) expect(Math.abs(part[0].history)).toBe(0);
    }
  });

  test.each([-0.1, 1.1, Number.NaN])('%s is refused', (strength) => {
    expect(() => ddim({ steps: 20 }).plan(diffusion, { strength })).toThrow('strength must be a number from 0 to 1');
  });
});
