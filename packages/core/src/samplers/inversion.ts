import {
  checkSampling,
  type Level,
  levelOf,
  type Sampler,
  type StepOptions,
  samplerStep,
  straightStep,
} from './sampler.ts';
import { spacedTimesteps } from './spacing.ts';

/** Parameters of {@link ddimInversion}; at least 2 steps, and the spacing of the sampler that goes back. */
export type DdimInversionOptions = StepOptions;

/**
 * DDIM run backwards (Song et al. 2021, section 4.3, arXiv:2010.02502): from an image to the noise that `ddim({ eta: 0 })` makes it
 * from, to first order. The image is taken as the x of the least noisy timestep; `steps - 1` network evaluations.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function ddimInversion({ steps, spacing = 'trailing', clip = Infinity }: DdimInversionOptions): Sampler {
  checkSampling('ddim-inversion', { steps, clip, spacing }, 2);
  return {
    name: 'ddim-inversion',
    steps,
    inverts: true,
    plan(diffusion) {
      const timesteps = spacedTimesteps(spacing, diffusion.schedule, steps);
      const levels = timesteps.map((t) => levelOf(diffusion, t)).reverse();
      return levels.slice(0, -1).map((from, i) => {
        const to = levels[i + 1] as Level;
        return samplerStep(diffusion, from, to, clip, straightStep(from, to));
      });
    },
  };
}
