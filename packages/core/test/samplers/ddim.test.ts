import { describe, expect, test } from 'vitest';
import { gaussianDenoiser, gaussianFlow } from '../../../testkit/src/distributions.ts';
import { samplerUpdate, simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion, type TargetName } from '../../src/diffusion/index.ts';
import { ddim, ddpm } from '../../src/samplers/index.ts';
import { cosineSchedule, linearSchedule } from '../../src/schedules/index.ts';
import { normals } from '../random/normal.ts';
import { expectAllClose, expectClose } from '../schedules/close.ts';

const noNoise = (): never => {
  throw new Error('a deterministic sampler asked for noise');
};

describe('ddim', () => {
  const predictions: TargetName[] = ['eps', 'x0', 'v'];

  test.each(predictions)('with eta 1 on all timesteps is DDPM with the small variance (%s)', (predict) => {
    for (const schedule of [linearSchedule(), cosineSchedule()]) {
      const diffusion = gaussianDiffusion({ schedule, predict });
      const ours = ddim({ steps: 1000, eta: 1, clip: Infinity }).plan(diffusion);
      const theirs = ddpm({ clip: Infinity }).plan(diffusion);
      const [x, prediction, noise, history, older] = [1, 2, 3, 4, 5].map((seed) => normals(seed, 8)) as Float64Array[];
      const inputs = { x, prediction, noise, history, older } as Parameters<typeof samplerUpdate>[1];
      for (const [i, step] of ours.entries()) {
        const other = theirs[i] as typeof step;
        expectClose(step.noise, other.noise, 1e-12);
        expectAllClose(samplerUpdate(step, inputs).x, samplerUpdate(other, inputs).x, 1e-12);
      }
    }
  });

  test('needs no noise at eta 0', () => {
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    const denoiser = gaussianDenoiser({ mean: 0, std: 0.5 }, diffusion);
    const run = (): Float64Array[] =>
      simulate(ddim({ steps: 50 }), diffusion, denoiser, normals(1, 16), noNoise).map(({ x }) => x);
    expect(run()).toEqual(run());
  });

  test('follows the probability-flow ODE to first order', () => {
    const data = { mean: 0.3, std: 0.5 };
    // The default schedule in finer timesteps, so that the network can be asked at many of them.
    const schedule = linearSchedule({ steps: 64_000, betaStart: 1e-4 / 64, betaEnd: 0.02 / 64 });
    const diffusion = gaussianDiffusion({ schedule });
    const denoiser = gaussianDenoiser(data, diffusion);
    const xT = Float64Array.of(1.3);
    const sigmaMax = schedule.sigma[63_999] as number;
    const signal = Math.sqrt(schedule.alphaBar[63_999] as number);
    const exact = gaussianFlow(
      data,
      xT.map((x) => x / signal),
      sigmaMax,
      0,
    )[0] as number;
    const errorAt = (steps: number): number => {
      const sampler = ddim({ steps, spacing: 'trailing', clip: Infinity });
      return Math.abs((simulate(sampler, diffusion, denoiser, xT, noNoise).at(-1)?.x[0] as number) - exact);
    };
    const errors = [125, 250, 500, 1000, 2000].map(errorAt);
    for (let i = 1; i < errors.length; i++) {
      const order = Math.log2((errors[i - 1] as number) / (errors[i] as number));
      expect(Math.abs(order - 1), `order ${order}`).toBeLessThan(0.1);
    }
  });

  test('is one Euler step of that ODE in sigma', () => {
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    const { alphaBar, sigma } = diffusion.schedule;
    const [x, eps] = [Float64Array.of(0.4), Float64Array.of(-1.1)];
    const plan = ddim({ steps: 20, clip: Infinity }).plan(diffusion);
    for (const [i, step] of plan.entries()) {
      const next = plan[i + 1]?.t;
      const [signalNext, sigmaNext] =
        next === undefined ? [1, 0] : [Math.sqrt(alphaBar[next] as number), sigma[next] as number];
      const exploded = (x[0] as number) / Math.sqrt(alphaBar[step.t] as number);
      const euler = exploded + (sigmaNext - (sigma[step.t] as number)) * (eps[0] as number);
      const zero = Float64Array.of(0);
      const found = samplerUpdate(step, { x, prediction: eps, history: zero, older: zero, noise: zero }).x[0];
      expectClose(found, signalNext * euler, 1e-12, 1);
    }
  });

  test('takes the noise that goes with a clipped x0, or leaves it as the network said it, as diffusers does', () => {
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    for (const compat of ['strict', 'diffusers'] as const) {
      const [step, next] = ddim({ steps: 10, compat }).plan(diffusion);
      const zero = Float64Array.of(0);
      const inputs = {
        x: Float64Array.of(3),
        prediction: Float64Array.of(0.5),
        history: zero,
        older: zero,
        noise: zero,
      };
      const updated = samplerUpdate(step as NonNullable<typeof step>, inputs);
      expect(updated.x0[0]).toBe(1);
      const from = diffusion.alphaBarAt(step?.t as number);
      const to = diffusion.alphaBarAt(next?.t as number);
      const eps = compat === 'diffusers' ? 0.5 : (3 - Math.sqrt(from)) / Math.sqrt(1 - from);
      expectClose(updated.x[0], Math.sqrt(to) * 1 + Math.sqrt(1 - to) * eps, 1e-12);
    }
  });

  test("ends its steps where diffusers' do, if asked to", () => {
    const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
    const ends = (compat: 'strict' | 'diffusers', spacing: 'linspace' | 'trailing', steps: number): number =>
      ddim({ steps, spacing, compat }).plan(diffusion)[0]?.alphaBarNext as number;
    expect(ends('strict', 'linspace', 10)).toBe(diffusion.alphaBarAt(888));
    expect(ends('diffusers', 'linspace', 10)).toBe(diffusion.alphaBarAt(899));
    expect(ends('strict', 'trailing', 13)).toBe(diffusion.alphaBarAt(922));
    expect(ends('diffusers', 'trailing', 13)).toBe(diffusion.alphaBarAt(923));
  });

  test.each([-0.1, 1.1, Number.NaN])('refuses eta %s', (eta) => {
    expect(() => ddim({ steps: 10, eta })).toThrow(`eta of sampler 'ddim' must be a number from 0 to 1, got ${eta}`);
  });
});
