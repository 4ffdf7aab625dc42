import { describe, expect, test } from 'vitest';
import { gaussianDenoiser, gaussianFlow } from '../../../testkit/src/distributions.ts';
import { simulate } from '../../../testkit/src/simulate.ts';
import { gaussianDiffusion } from '../../src/diffusion/index.ts';
import { createSampler, type SamplerName, samplers } from '../../src/samplers/index.ts';
import { linearSchedule } from '../../src/schedules/index.ts';

const diffusion = gaussianDiffusion({ schedule: linearSchedule() });
const data = { mean: 0.3, std: 0.5 };
const denoiser = gaussianDenoiser(data, diffusion);
const { alphaBar, sigma } = diffusion.schedule;
const [first, last] = [0, 999];
const xT = Float64Array.of(1.3);
// Down to the least noise of the schedule: the way from there to clean data is one step for every sampler.
const exact = gaussianFlow(
  data,
  xT.map((x) => x / Math.sqrt(alphaBar[last] as number)),
  sigma[last] as number,
  sigma[first] as number,
).map((x) => x * Math.sqrt(alphaBar[first] as number));

const noNoise = (): never => {
  throw new Error('a deterministic sampler asked for noise');
};

function errorOf(name: SamplerName, steps: number): number {
  const sampler = createSampler(name, { steps, spacing: 'karras', clip: Infinity });
  const rows = simulate(sampler, diffusion, denoiser, xT, noNoise);
  return Math.abs((rows.at(-2)?.x[0] as number) - (exact[0] as number));
}

describe('order of convergence on the probability-flow ODE of Gaussian data', () => {
  const deterministic = Object.entries(samplers).filter(([, { order }]) => order > 0) as [SamplerName, unknown][];

  test.each(deterministic)('%s has the order that the registry tells', (name) => {
    const errors = [160, 320, 640].map((steps) => errorOf(name, steps));
    for (let i = 1; i < errors.length; i++) {
      const measured = Math.log2((errors[i - 1] as number) / (errors[i] as number));
      expect(Math.abs(measured - samplers[name].order), `measured order ${measured}`).toBeLessThan(0.1);
    }
  });

  test('every sampler that adds no noise by default tells an order, and no other does', () => {
    for (const [name, { order, create }] of Object.entries(samplers)) {
      const noisy = create({ steps: 10 })
        .plan(diffusion)
        .some(({ noise }) => noise > 0);
      expect(order > 0, name).toBe(!noisy);
    }
  });

  test('unipc has a smaller error than dpm++2m with few steps too', () => {
    expect(errorOf('unipc', 40)).toBeLessThan(errorOf('dpm++2m', 40));
  });
});
