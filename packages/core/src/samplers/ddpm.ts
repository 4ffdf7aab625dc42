import { posteriorCoefficients } from '../diffusion/posterior.ts';
import { DiffuseError } from '../native/errors.ts';
import { lookUp } from '../schedules/checks.ts';
import { type CompatOptions, diffusersLevels, quirksOf } from './compat.ts';
import { checkSampling, planSteps, type Sampler, type Transition, type Update } from './sampler.ts';

/** Variance of a DDPM step: one of the two that bound the true one, or what the network says between the two. */
export type DdpmVariance = 'fixed-small' | 'fixed-large' | 'learned-range';

/** Parameters of {@link ddpm}. */
export interface DdpmOptions<Variance extends DdpmVariance = DdpmVariance> extends Partial<CompatOptions> {
  /** Number of steps, 1 … T of the diffusion; every timestep if it is not given. */
  steps?: number;
  /** The variance of the posterior, right for a point, or that of the forward step, right for N(0, I) (DDPM, 3.2). */
  variance?: Variance;
}

/** A {@link ddpm} sampler; its type knows whether it needs a network that predicts its variance. */
export interface DdpmSampler<Variance extends DdpmVariance = DdpmVariance> extends Sampler {
  readonly learnedVariance: Variance extends 'learned-range' ? true : false;
}

/** What diffusers takes for a variance that is smaller, 0 in the last step. */
const LEAST_VARIANCE = 1e-20;

/** Every variance by the name that configurations and the command line use. */
export const ddpmVariances: Readonly<Record<DdpmVariance, string>> = {
  'fixed-small': "the posterior's, right for a point",
  'fixed-large': "the forward step's, right for N(0, I)",
  'learned-range': 'predicted by the network, between the two',
};

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2, arXiv:2006.11239): draws x' from the posterior q(x' | x, x0) at the
 * (clipped) estimate of x0. A learned variance is exp of a mixture of the logarithms of the two fixed ones (Nichol and Dhariwal
 * 2021, eq. (15), arXiv:2102.09672). With fewer steps than timesteps, betas are recomputed from the kept alphaBars. The last step
 * adds no noise. `compat: 'diffusers'` repeats what its DDPMScheduler does otherwise:
 *
 * - a last step adds noise like any other, unless it begins at timestep 0: with spacing 'trailing', or with `stepsOffset`;
 * - no variance is below 1e-20;
 * - `stepsOffset` moves the timesteps of spacing 'leading'.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range, and for `logVariance` of variance 'fixed-large', whose samples are
 *   NaN in diffusers (huggingface/diffusers#14569).
 */
export function ddpm<Variance extends DdpmVariance = 'fixed-small'>(
  options: DdpmOptions<Variance> = {},
): DdpmSampler<Variance> {
  const { steps, spacing = 'leading', variance = 'fixed-small', clip = 1, compat = 'strict' }: DdpmOptions = options;
  // Without a number it takes all timesteps.
  checkSampling('ddpm', { steps: steps ?? 1, clip, spacing });
  lookUp('variance', ddpmVariances, variance);
  const quirks = quirksOf(compat);
  if (quirks?.logVariance && variance === 'fixed-large') {
    const problem = "'fixed_large_log' ends in NaN in diffusers (huggingface/diffusers#14569)";
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `${problem}, which compat 'diffusers' does not repeat: take compat 'strict'`,
    );
  }

  const update = ({ from, to, last }: Transition): Update => {
    const posterior = posteriorCoefficients(from.alphaBar, to.alphaBar);
    const mean = { x: posterior.xt, x0: posterior.x0 };
    if (quirks ? from.t === 0 : last) return mean;
    const small = quirks ? Math.max(posterior.variance, LEAST_VARIANCE) : posterior.variance;
    if (variance === 'fixed-large') return { ...mean, noise: Math.sqrt(posterior.beta) };
    if (variance === 'fixed-small') return { ...mean, noise: Math.sqrt(small) };
    return { ...mean, noise: 1, logVariance: [Math.log(small), Math.log(posterior.beta)] };
  };

  return {
    name: 'ddpm',
    steps,
    learnedVariance: (variance === 'learned-range') as DdpmSampler<Variance>['learnedVariance'],
    plan: (diffusion, range) => {
      const count = steps ?? diffusion.steps;
      const levels = quirks && (() => diffusersLevels(diffusion, { family: 'ddpm', steps: count, spacing, quirks }));
      return planSteps(diffusion, { steps: count, spacing, clip, levels }, update, range);
    },
  };
}
