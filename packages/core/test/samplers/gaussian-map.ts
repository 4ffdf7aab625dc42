import { type GaussianData, gaussianDenoiser } from '../../../testkit/src/distributions.ts';
import { samplerUpdate } from '../../../testkit/src/simulate.ts';
import type { Diffusion } from '../../src/diffusion/index.ts';
import type { Sampler } from '../../src/samplers/index.ts';

/**
 * Mean and standard deviation of what a sampler makes of x_T ~ N(0, 1) with the exact network for Gaussian data, without
 * drawing a sample: each step is then an affine map of x, the x0 of the step before and the noise, so that mean and
 * covariance of (x, history) can be carried through.
 */
export function gaussianMap(sampler: Sampler, diffusion: Diffusion, data: GaussianData): GaussianData {
  const denoiser = gaussianDenoiser(data, diffusion);
  let mean: Pair = [0, 0];
  let covariance: [Pair, Pair] = [
    [1, 0],
    [0, 0],
  ];
  for (const step of sampler.plan(diffusion)) {
    const at = (x: number, h: number, noise: number): Pair => {
      const inputs = { x: Float64Array.of(x), history: Float64Array.of(h), noise: Float64Array.of(noise) };
      const updated = samplerUpdate(step, { ...inputs, prediction: denoiser(inputs.x, step.t) });
      return [updated.x[0] as number, updated.x0[0] as number];
    };
    const origin = at(0, 0, 0);
    const minusOrigin = ([x, h]: Pair): Pair => [x - origin[0], h - origin[1]];
    const byX = minusOrigin(at(1, 0, 0));
    const byHistory = minusOrigin(at(0, 1, 0));
    const byNoise = minusOrigin(at(0, 0, 1));
    const [[vxx, vxh], [, vhh]] = covariance;
    const entry = (i: 0 | 1, j: 0 | 1): number =>
      byX[i] * byX[j] * vxx +
      (byX[i] * byHistory[j] + byHistory[i] * byX[j]) * vxh +
      byHistory[i] * byHistory[j] * vhh +
      byNoise[i] * byNoise[j];
    covariance = [
      [entry(0, 0), entry(0, 1)],
      [entry(1, 0), entry(1, 1)],
    ];
    mean = at(mean[0], mean[1], 0);
  }
  return { mean: mean[0], std: Math.sqrt(covariance[0][0]) };
}

type Pair = [x: number, history: number];
