import { describe, expect, test } from 'vitest';
import { gaussianDenoiser } from '../../../testkit/src/distributions.ts';
import { samplerUpdate, simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import { type DdpmVariance, ddpm } from '../../src/samplers/index.ts';
import { linearSchedule } from '../../src/schedules/index.ts';
import { hasMoments, normals } from '../random/normal.ts';
import { expectAllClose, expectClose } from '../schedules/close.ts';
import { gaussianMap } from './gaussian-map.ts';

const schedule = linearSchedule();
const diffusion = gaussianDiffusion({ schedule });

describe('ddpm', () => {
  test('on all timesteps draws from the posterior at the estimate of x0', () => {
    const plan = ddpm({ clip: Infinity }).plan(diffusion);
    expect(plan.map(({ t }) => t)).toEqual(Array.from({ length: 1000 }, (_, i) => 999 - i));
    const [x, eps, zero] = [normals(1, 4), normals(2, 4), new Float64Array(4)];
    for (const step of plan) {
      const { mean, variance } = diffusion.posterior(diffusion.predictX0(x, eps, step.t), x, step.t);
      expectAllClose(
        samplerUpdate(step, { x, prediction: eps, history: zero, older: zero, noise: zero }).x,
        mean,
        1e-12,
      );
      expectClose(step.noise, Math.sqrt(variance), 1e-12);
    }
  });

  test('has the betas of the schedule as its large variance, but for the last step', () => {
    const plan = ddpm({ variance: 'fixed-large' }).plan(diffusion);
    for (const step of plan) expectClose(step.noise ** 2, step.t === 0 ? 0 : (schedule.beta[step.t] as number), 1e-12);
  });

  test('recomputes the betas from the kept levels when steps are left out', () => {
    const [first, second] = ddpm({ steps: 10, variance: 'fixed-large' }).plan(diffusion);
    expect([first?.t, second?.t]).toEqual([900, 800]);
    const alpha = (schedule.alphaBar[900] as number) / (schedule.alphaBar[800] as number);
    const product = schedule.beta.slice(801, 901).reduce((total, beta) => total * (1 - beta), 1);
    expectClose(alpha, product, 1e-12);
    expectClose(first?.noise, Math.sqrt(1 - product), 1e-12);
  });

  test('puts the clipped estimate of x0 into the mean', () => {
    const [step, next] = ddpm({ steps: 10 }).plan(diffusion);
    const inputs = { x: Float64Array.of(3), prediction: Float64Array.of(0.5), history: Float64Array.of(0) };
    const zero = Float64Array.of(0);
    const updated = samplerUpdate(step as NonNullable<typeof step>, { ...inputs, older: zero, noise: zero });
    expect(updated.x0[0]).toBe(1);
    const [a, b] = [900, next?.t as number].map((t) => schedule.alphaBar[t] as number) as [number, number];
    const mean = ((1 - a / b) * Math.sqrt(b) * 1 + (1 - b) * Math.sqrt(a / b) * 3) / (1 - a);
    expectClose(updated.x[0], mean, 1e-13);
  });

  test.each<DdpmVariance>(['fixed-small', 'fixed-large'])(
    '%s: samples spread as the data do, in the limit',
    (variance) => {
      const data = { mean: 0.3, std: 0.5 };
      const sampled = [10, 100, 1000].map((steps) =>
        gaussianMap(ddpm({ steps, spacing: 'trailing', variance, clip: Infinity }), diffusion, data),
      );
      const errors = sampled.map(({ mean, std }) => Math.hypot(mean - data.mean, std - data.std));
      expect(errors[2]).toBeLessThan(0.005);
      expect(errors[2]).toBeLessThan((errors[1] as number) / 5);
      // The two variances bound the true one (Ho et al. 2020, section 3.2).
      if (variance === 'fixed-small') expect(sampled[1]?.std).toBeLessThan(data.std);
      else expect(sampled[1]?.std).toBeGreaterThan(data.std);
    },
  );

  test('drawn samples have the moments that theory gives', () => {
    const data = { mean: 0.1, std: 0.2 };
    const sampler = ddpm({ steps: 50, clip: Infinity });
    const count = 20_000;
    const trajectory = simulate(sampler, diffusion, gaussianDenoiser(data, diffusion), normals(3, count), (step) =>
      normals(4, count, step),
    );
    const { mean, std } = gaussianMap(sampler, diffusion, data);
    expect(hasMoments(trajectory.at(-1)?.x as Float64Array, mean, std * std)).toBe(true);
  });

  test('refuses an unknown variance', () => {
    expect(() => ddpm({ variance: 'learned' as DdpmVariance })).toThrow(
      "unknown variance 'learned'; known are: fixed-small, fixed-large",
    );
  });
});
