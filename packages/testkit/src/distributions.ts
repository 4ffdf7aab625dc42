import type { Diffusion } from '@diffuse/core';
import { perfectDenoiser } from './ideal-denoiser.ts';
import type { Denoiser } from './simulate.ts';

/** Data of which every element is N(mean, std^2), all independent: everything about its diffusion has a closed form. */
export interface GaussianData {
  readonly mean: number;
  /** Above 0, or 0 for a single point. */
  readonly std: number;
}

/**
 * What a perfectly trained network answers for Gaussian data:
 *
 *     E[x_0 | x_t] = mean + sqrt(alphaBar) std^2 / (alphaBar std^2 + 1 - alphaBar) (x_t - sqrt(alphaBar) mean)
 */
export function gaussianDenoiser({ mean, std }: GaussianData, diffusion: Diffusion): Denoiser {
  return perfectDenoiser(diffusion, (xt, alphaBar) => {
    const signal = Math.sqrt(alphaBar);
    const gain = (signal * std * std) / (alphaBar * std * std + 1 - alphaBar);
    return xt.map((value) => mean + gain * (value - signal * mean));
  });
}

/**
 * The exact probability-flow ODE of Gaussian data, dx/dsigma = (x - E[x_0 | x]) / sigma, in the variance-exploding view
 * x = x_t / sqrt(alphaBar) (Karras et al. 2022, eqs. (1) and (3), arXiv:2206.00364):
 *
 *     x(sigma) = mean + (x(sigmaFrom) - mean) sqrt((std^2 + sigma^2) / (std^2 + sigmaFrom^2))
 *
 * @param x float64 [n] at the noise level sigmaFrom.
 * @returns float64 [n] at the noise level sigmaTo.
 */
export function gaussianFlow(
  { mean, std }: GaussianData,
  x: Float64Array,
  sigmaFrom: number,
  sigmaTo: number,
): Float64Array {
  const shrink = Math.sqrt((std * std + sigmaTo * sigmaTo) / (std * std + sigmaFrom * sigmaFrom));
  return x.map((value) => mean + (value - mean) * shrink);
}

/**
 * The smallest mean squared error that any prediction of the noise can have on N(mean, std^2) data:
 * E|eps - E[eps | x]|^2 = std^2 / (std^2 + sigma^2) for each element.
 *
 * @param sigma noise level in the variance-exploding view.
 */
export function gaussianEpsFloor(std: number, sigma: number): number {
  return (std * std) / (std * std + sigma * sigma);
}
