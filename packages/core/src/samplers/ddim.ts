import type { Diffusion } from '../diffusion/gaussian.ts';
import { convert, targets } from '../diffusion/targets.ts';
import { checkInteger, checkNumber, lookUp } from '../schedules/checks.ts';
import { checkClip, planSteps, type Sampler, type Transition, type Update } from './sampler.ts';
import { type Spacing, spacings } from './spacing.ts';

/** Parameters of {@link ddim}. */
export interface DdimOptions {
  /** Number of steps, 1 … T of the diffusion. */
  steps: number;
  /** Share of DDPM's noise that is added, in [0, 1]; 0 is deterministic. */
  eta?: number;
  /** How the timesteps lie among those of the diffusion. */
  spacing?: Spacing;
  /** Bound of the estimate of x0, above 0; Infinity does not clip. */
  clip?: number;
}

/**
 * DDIM (Song et al. 2021, eqs. (12) and (16), arXiv:2010.02502), order 1:
 *
 *     x' = sqrt(alphaBar') x0 + sqrt(1 - alphaBar' - sigma^2) eps + sigma noise
 *     sigma = eta sqrt((1 - alphaBar') / (1 - alphaBar)) sqrt(1 - alphaBar / alphaBar')
 *
 * eps stays what the network said when x0 is clipped, and the last step goes to alphaBar' = 1: diffusers' DDIMScheduler
 * with its defaults.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function ddim({ steps, eta = 0, spacing = 'leading', clip = 1 }: DdimOptions): Sampler {
  checkInteger("steps of sampler 'ddim'", steps, 1, Number.MAX_SAFE_INTEGER);
  checkNumber("eta of sampler 'ddim'", eta, 0, 1);
  checkClip('ddim', clip);
  lookUp('spacing', spacings, spacing);

  const update = (diffusion: Diffusion, { alphaBar, alphaBarNext }: Transition): Update => {
    const toEps = convert(targets[diffusion.predict], targets.eps, alphaBar);
    // Share of the variance 1 - alphaBar' that DDPM would draw afresh, and the rest; apart, they cancel nothing.
    const fresh = (1 - alphaBar / alphaBarNext) / (1 - alphaBar);
    const kept = ((alphaBar / alphaBarNext) * (1 - alphaBarNext)) / (1 - alphaBar);
    const direction = Math.sqrt((1 - alphaBarNext) * (kept + (1 - eta * eta) * fresh));
    return {
      x: direction * toEps.x,
      x0: Math.sqrt(alphaBarNext),
      prediction: direction * toEps.prediction,
      history: 0,
      noise: eta * Math.sqrt((1 - alphaBarNext) * fresh),
    };
  };

  return {
    name: 'ddim',
    steps,
    plan: (diffusion) => planSteps(diffusion, { steps, spacing, clip }, (step) => update(diffusion, step)),
  };
}
