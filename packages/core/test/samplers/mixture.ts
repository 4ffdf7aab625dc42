import { perfectDenoiser } from '../../../testkit/src/ideal-denoiser.ts';
import type { Denoiser } from '../../../testkit/src/simulate.ts';
import type { Diffusion } from '../../src/diffusion/index.ts';

/** A part of one-dimensional data: N(mean, std^2), drawn with the probability `share`. */
export interface MixturePart {
  readonly share: number;
  readonly mean: number;
  readonly std: number;
}

/** log p(x) of each part times its share, for x = x0 + sigma eps, without the constant that all have. */
function logWeights(parts: readonly MixturePart[], x: number, sigma: number): number[] {
  return parts.map(({ share, mean, std }) => {
    const variance = std * std + sigma * sigma;
    return Math.log(share) - 0.5 * ((x - mean) ** 2 / variance + Math.log(variance));
  });
}

/** The probability of each part once x = x0 + sigma eps is seen. */
export function responsibilities(parts: readonly MixturePart[], x: number, sigma: number): number[] {
  const logs = logWeights(parts, x, sigma);
  const largest = Math.max(...logs);
  const weights = logs.map((value) => Math.exp(value - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** E[x0 | x] for x = x0 + sigma eps: the mean of each part, weighted by its probability. */
export function mixtureMean(parts: readonly MixturePart[], x: number, sigma: number): number {
  const probabilities = responsibilities(parts, x, sigma);
  return parts.reduce((sum, { mean, std }, i) => {
    const gain = (std * std) / (std * std + sigma * sigma);
    return sum + (probabilities[i] as number) * (mean + gain * (x - mean));
  }, 0);
}

/** What a perfectly trained network answers for such data, said as the diffusion's target. */
export function mixtureDenoiser(parts: readonly MixturePart[], diffusion: Diffusion): Denoiser {
  return perfectDenoiser(diffusion, (xt, alphaBar) => {
    const signal = Math.sqrt(alphaBar);
    return xt.map((value) => mixtureMean(parts, value / signal, Math.sqrt((1 - alphaBar) / alphaBar)));
  });
}
