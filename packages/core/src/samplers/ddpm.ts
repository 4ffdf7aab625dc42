import { posteriorCoefficients } from '../diffusion/posterior.ts';
import { checkInteger, lookUp } from '../schedules/checks.ts';
import { checkClip, planSteps, type Sampler, type Transition, type Update } from './sampler.ts';
import { type Spacing, spacings } from './spacing.ts';

/** Which of the two variances that bound the true one a DDPM step has. */
export type DdpmVariance = 'fixed-small' | 'fixed-large';

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

const variances: Readonly<Record<DdpmVariance, 'variance' | 'beta'>> = {
  'fixed-small': 'variance',
  'fixed-large': 'beta',
};

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2, arXiv:2006.11239): draws x' from the posterior q(x' | x, x0) at the
 * (clipped) estimate of x0. With fewer steps than timesteps, betas are recomputed from the kept alphaBars. The last step
 * adds no noise.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function ddpm({ steps, spacing = 'leading', variance = 'fixed-small', clip = 1 }: DdpmOptions = {}): Sampler {
  if (steps !== undefined) checkInteger("steps of sampler 'ddpm'", steps, 1, Number.MAX_SAFE_INTEGER);
  checkClip('ddpm', clip);
  lookUp('spacing', spacings, spacing);
  const kind = lookUp('variance', variances, variance);

  const update = ({ alphaBar, alphaBarNext, last }: Transition): Update => {
    const posterior = posteriorCoefficients(alphaBar, alphaBarNext);
    return {
      x: posterior.xt,
      x0: posterior.x0,
      prediction: 0,
      history: 0,
      noise: last ? 0 : Math.sqrt(posterior[kind]),
    };
  };

  return {
    name: 'ddpm',
    steps,
    plan: (diffusion) => planSteps(diffusion, { steps: steps ?? diffusion.steps, spacing, clip }, update),
  };
}
