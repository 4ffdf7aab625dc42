import type { Diffusion } from '@diffuse/core';
import type { Denoiser } from './simulate.ts';

/** The mean of the clean data given noisy data, E[x_0 | x_t]; `alphaBar` is the noise level of `xt`. */
export type PosteriorMean = (xt: Float64Array, alphaBar: number) => Float64Array;

/** What a perfectly trained network answers: E[x_0 | x_t], said as the diffusion's prediction target. */
export function perfectDenoiser(diffusion: Diffusion, posteriorMean: PosteriorMean): Denoiser {
  return (xt, t) => {
    const alphaBar = diffusion.alphaBarAt(t);
    const x0 = posteriorMean(xt, alphaBar);
    const eps = xt.map((value, i) => (value - Math.sqrt(alphaBar) * (x0[i] as number)) / Math.sqrt(1 - alphaBar));
    return diffusion.target(x0, eps, t);
  };
}

/**
 * The minimiser of the training loss over a finite data set: data points weighted by how likely each is to have become
 * x_t,
 *
 *     E[x_0 | x_t] = sum_i softmax_i(-|x_t - sqrt(alphaBar) x_i|^2 / (2 (1 - alphaBar))) x_i
 *
 * Samplers that follow it end on the data points (Karras et al. 2022, eq. (57), arXiv:2206.00364, there in the
 * variance-exploding view).
 *
 * @param data at least one point, each float64 [n].
 */
export function idealDenoiser(data: readonly Float64Array[], diffusion: Diffusion): Denoiser {
  return perfectDenoiser(diffusion, (xt, alphaBar) => {
    const logits = data.map((point) => {
      const squares = xt.map((value, i) => (value - Math.sqrt(alphaBar) * (point[i] as number)) ** 2);
      return -squares.reduce((sum, square) => sum + square, 0) / (2 * (1 - alphaBar));
    });
    const largest = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - largest));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return xt.map((_, i) =>
      data.reduce((sum, point, j) => sum + ((weights[j] as number) / total) * (point[i] as number), 0),
    );
  });
}
