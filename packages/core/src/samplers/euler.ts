import { checkNumber } from '../schedules/checks.ts';
import { type CompatOptions, diffusersGrid } from './compat.ts';
import { checkSampling, type Sampler, stepSampler, straightStep, type Transition, type Update } from './sampler.ts';

/** Parameters of {@link euler}. */
export type EulerOptions = CompatOptions;

/**
 * Euler's method on the probability-flow ODE dx/dsigma = (x - x0) / sigma (Karras et al. 2022, algorithm 1 without its correction,
 * arXiv:2206.00364), order 1. In exact arithmetic it is `ddim({ eta: 0 })`.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function euler({ steps, spacing = 'trailing', clip = 1, compat = 'strict' }: EulerOptions): Sampler {
  checkSampling('euler', { steps, clip, spacing });
  const levels = diffusersGrid(compat, { family: 'euler', steps, spacing });
  const update = ({ from, to }: Transition): Update => straightStep(from, to);
  return stepSampler('euler', { steps, spacing, clip, levels }, update);
}

/** Parameters of {@link eulerAncestral}. */
export interface EulerAncestralOptions extends EulerOptions {
  /** Share of the ancestral noise, in [0, 1]; 0 is {@link euler}. */
  eta?: number;
}

/**
 * Euler ancestral (k-diffusion's `sample_euler_ancestral`): a straight step down to sigmaDown, then fresh noise up to sigma':
 *
 *     sigmaUp = min(sigma', eta sigma' sqrt((sigma^2 - sigma'^2) / sigma^2)),   sigmaDown = sqrt(sigma'^2 - sigmaUp^2)
 *
 * With eta = 1 it is DDPM with its small variance.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function eulerAncestral({
  steps,
  eta = 1,
  spacing = 'trailing',
  clip = 1,
  compat = 'strict',
}: EulerAncestralOptions): Sampler {
  checkSampling('euler-ancestral', { steps, clip, spacing });
  checkNumber("eta of sampler 'euler-ancestral'", eta, 0, 1);
  const levels = diffusersGrid(compat, { family: 'euler', steps, spacing });

  const update = ({ from, to }: Transition): Update => {
    // The ratio sigma' / sigma, written so that an infinite sigma does no harm.
    const ratio = (to.deviation * from.signal) / (to.signal * from.deviation);
    const up = eta * to.sigma * Math.sqrt(1 - ratio * ratio);
    const down = Math.sqrt(Math.max(0, to.sigma * to.sigma - up * up));
    // sigmaDown / sigma, and back to the variance-preserving view, where x = signal (x0 + sigma eps).
    const keep = (down * from.signal) / from.deviation;
    return { x: (to.signal * down) / from.deviation, x0: to.signal * (1 - keep), noise: to.signal * up };
  };

  return stepSampler('euler-ancestral', { steps, spacing, clip, levels }, update);
}
