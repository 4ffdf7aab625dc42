import { type GaussianData, gaussianDenoiser } from '../../../testkit/src/distributions.ts';
import { samplerUpdate } from '../../../testkit/src/simulate.ts';
import type { Diffusion } from '../../src/diffusion/index.ts';
import type { Sampler } from '../../src/samplers/index.ts';

/**
 * Mean and standard deviation of what a sampler makes of x_T ~ N(0, 1) with the exact network for Gaussian data, without
 * drawing a sample: each step is then an affine map of x, the two memories of the steps before and the noise, so that mean
 * and covariance of (x, history, older) can be carried through.
 */
export function gaussianMap(sampler: Sampler, diffusion: Diffusion, data: GaussianData): GaussianData {
  const denoiser = gaussianDenoiser(data, diffusion);
  const size = 3;
  let mean: number[] = [0, 0, 0];
  let covariance = [
    [1, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
  ];
  for (const step of sampler.plan(diffusion)) {
    const at = ([x = 0, history = 0, older = 0]: readonly number[], noise = 0): number[] => {
      const one = (value: number): Float64Array => Float64Array.of(value);
      const state = { x: one(x), history: one(history), older: one(older), noise: one(noise) };
      const updated = samplerUpdate(step, { ...state, prediction: denoiser(state.x, step.t) });
      return [updated.x[0] as number, updated.history[0] as number, history];
    };
    const origin = at([0, 0, 0]);
    const slope = (to: number[]): number[] => to.map((value, i) => value - (origin[i] as number));
    const matrix = [slope(at([1, 0, 0])), slope(at([0, 1, 0])), slope(at([0, 0, 1]))]; // columns
    const byNoise = slope(at([0, 0, 0], 1));
    const before = covariance;
    const entry = (i: number, j: number): number => {
      let sum = (byNoise[i] as number) * (byNoise[j] as number);
      for (let k = 0; k < size; k++) {
        for (let l = 0; l < size; l++) {
          sum += (matrix[k]?.[i] as number) * (matrix[l]?.[j] as number) * (before[k]?.[l] as number);
        }
      }
      return sum;
    };
    covariance = Array.from({ length: size }, (_, i) => Array.from({ length: size }, (__, j) => entry(i, j)));
    mean = at(mean);
  }
  return { mean: mean[0] as number, std: Math.sqrt(covariance[0]?.[0] as number) };
}
