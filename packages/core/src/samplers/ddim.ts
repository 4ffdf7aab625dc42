import type { Diffusion } from '../diffusion/gaussian.ts';
import { checkNumber } from '../schedules/checks.ts';
import { type CompatOptions, diffusersLevels, quirksOf } from './compat.ts';
import {
  checkSampling,
  cleanLevel,
  type Level,
  levelOf,
  noiseFactors,
  planSteps,
  type Sampler,
  samplerLevels,
  samplerStep,
  type Transition,
  type Update,
} from './sampler.ts';

/** Parameters of {@link ddim}. */
export interface DdimOptions extends CompatOptions {
  /** Share of DDPM's noise that is added, in [0, 1]; 0 is deterministic. */
  eta?: number;
}

/**
 * DDIM (Song et al. 2021, eqs. (12) and (16), arXiv:2010.02502), order 1:
 *
 *     x' = sqrt(alphaBar') x0 + sqrt(1 - alphaBar' - sigma^2) eps + sigma noise
 *     sigma = eta sqrt((1 - alphaBar') / (1 - alphaBar)) sqrt(1 - alphaBar / alphaBar')
 *
 * The last step goes to alphaBar' = 1. Where x0 is clipped, eps is the noise that goes with the clipped x0, so that x' is a noisy
 * version of one image (as in OpenAI's implementation). `compat: 'diffusers'` repeats what its DDIMScheduler does otherwise:
 *
 * - eps stays what the network said, unless `use_clipped_model_output` is set;
 * - a step ends at timestep t - floor(T / steps), whatever the next timestep in the list is: with spacing 'linspace' and ten steps the
 *   one from 999 ends at 899, the next begins at 888;
 * - what would end before timestep 0 ends at alphaBar 1 or, without `setAlphaToOne`, at the alphaBar of timestep 0;
 * - `stepsOffset` moves the timesteps of spacing 'leading'.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function ddim({ steps, eta = 0, spacing = 'leading', clip = 1, compat = 'strict' }: DdimOptions): Sampler {
  checkSampling('ddim', { steps, clip, spacing });
  checkNumber("eta of sampler 'ddim'", eta, 0, 1);
  const quirks = quirksOf(compat);

  const update = (diffusion: Diffusion, { from, to }: Transition): Update => {
    // Share of the variance 1 - alphaBar' that DDPM would draw afresh, and the rest; apart, they cancel nothing.
    const fresh = (to.alphaBar - from.alphaBar) / (to.alphaBar * (1 - from.alphaBar));
    const kept = ((from.alphaBar / to.alphaBar) * (1 - to.alphaBar)) / (1 - from.alphaBar);
    const direction = Math.sqrt((1 - to.alphaBar) * (kept + (1 - eta * eta) * fresh));
    const noise = eta * Math.sqrt((1 - to.alphaBar) * fresh);
    if (quirks) {
      const eps = noiseFactors(diffusion, from);
      return { x: direction * eps.x, x0: to.signal, prediction: direction * eps.prediction, noise };
    }
    // eps = (x - signal x0) / deviation
    const x = direction / from.deviation;
    return { x, x0: to.signal - x * from.signal, noise };
  };

  return {
    name: 'ddim',
    steps,
    plan: (diffusion, range) => {
      const options = { steps, spacing, clip };
      if (!quirks) return planSteps(diffusion, options, (step) => update(diffusion, step), range);
      const all = (): readonly Level[] => diffusersLevels(diffusion, { family: 'ddpm', steps, spacing, quirks });
      const levels = samplerLevels(diffusion, { ...options, levels: all }, range).slice(0, -1);
      const stride = Math.floor(diffusion.steps / steps);
      const end = quirks.setAlphaToOne ? cleanLevel : levelOf(diffusion, 0);
      return levels.map((from, i) => {
        const to = from.t >= stride ? levelOf(diffusion, from.t - stride) : end;
        const transition = { from, to, last: i === levels.length - 1, before: levels[i - 1] };
        return samplerStep(diffusion, from, to, clip, update(diffusion, transition));
      });
    },
  };
}
