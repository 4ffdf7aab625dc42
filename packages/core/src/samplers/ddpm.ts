import { posteriorCoefficients } from '../diffusion/posterior.ts';
import { checkInteger, lookUp } from '../schedules/checks.ts';
import { checkClip, planSteps, type Sampler, type Transition, type Update } from './sampler.ts';
import { checkSpacing, type Spacing } from './spacing.ts';

/** Variance of a DDPM step: one of the two that bound the true one, or what the network says between the two. */
export type DdpmVariance = 'fixed-small' | 'fixed-large' | 'learned-range';

/** Parameters of {@link ddpm}. */
export interface DdpmOptions {
  /** Number of steps, 1 … T of the diffusion; every timestep if it is not given. */
  steps?: number;
  /** How the timesteps lie among those of the diffusion. */
  spacing?: Spacing;
  /** The variance of the posterior, right for a point, or that of the forward step, right for N(0, I) (DDPM, 3.2). */
  variance?: DdpmVariance;
  /** Bound of the estimate of x0, above 0; Infinity does not clip. */
  clip?: number;
}

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
 * adds no noise.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function ddpm({ steps, spacing = 'leading', variance = 'fixed-small', clip = 1 }: DdpmOptions = {}): Sampler {
  if (steps !== undefined) checkInteger("steps of sampler 'ddpm'", steps, 1, Number.MAX_SAFE_INTEGER);
  checkClip('ddpm', clip);
  checkSpacing(spacing);
  lookUp('variance', ddpmVariances, variance);

  const update = ({ from, to, last }: Transition): Update => {
    const posterior = posteriorCoefficients(from.alphaBar, to.alphaBar);
    const mean = { x: posterior.xt, x0: posterior.x0 };
    if (last) return mean;
    if (variance === 'fixed-large') return { ...mean, noise: Math.sqrt(posterior.beta) };
    if (variance === 'fixed-small') return { ...mean, noise: Math.sqrt(posterior.variance) };
    return { ...mean, noise: 1, logVariance: [Math.log(posterior.variance), Math.log(posterior.beta)] };
  };

  return {
    name: 'ddpm',
    steps,
    plan: (diffusion, range) => {
      const count = steps ?? diffusion.steps;
      return planSteps(diffusion, { steps: count, spacing, clip }, update, range);
    },
  };
}
