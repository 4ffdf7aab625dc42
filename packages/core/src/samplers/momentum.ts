import { checkNumber, checkPositive } from '../schedules/checks.ts';
import { checkSampling, type Sampler, type StepOptions, stepSampler, type Transition, type Update } from './sampler.ts';

/** Parameters of {@link momentum}. */
export interface MomentumOptions extends StepOptions {
  /** Weight of the present estimate of the noise against the one before, above 0; 1 has no memory, 2 accelerates. */
  gam?: number;
  /** Share of the noise that is drawn afresh, in [0, 1); 0 is deterministic. */
  mu?: number;
}

/**
 * smalldiffusion's family of samplers (Permenter and Yuan 2024, arXiv:2306.04848): in x / signal, with the noise eps in x,
 *
 *     x' = x - (sigma - sigmaDown) (gam eps + (1 - gam) epsBefore) + sqrt(sigma'^2 - sigmaDown^2) z
 *     sigmaDown = (sigma' / sigma^mu)^(1 / (1 - mu))
 *
 * gam = 1, mu = 0 is DDIM; gam = 1, mu = 1/2 is DDPM, the exact posterior; gam = 2, mu = 0 is the accelerated one.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function momentum({ steps, gam = 2, mu = 0, spacing = 'karras', clip = 1 }: MomentumOptions): Sampler {
  checkSampling('momentum', { steps, clip, spacing });
  checkPositive("gam of sampler 'momentum'", gam, Number.MAX_VALUE);
  checkNumber("mu of sampler 'momentum'", mu, 0, 1 - Number.EPSILON);

  const update = ({ from, to, before }: Transition): Update => {
    // The noise, eps = (x - signal x0) / deviation, is what the next step remembers.
    const memory = { historyFromX: 1 / from.deviation, historyFromX0: -from.signal / from.deviation };
    // sigmaDown / sigma' = (sigma' / sigma)^(mu / (1 - mu)): 1, without any fresh noise, for mu = 0.
    const share = (to.sigma / from.sigma) ** (mu / (1 - mu));
    const down = to.sigma * share;
    const noise = to.deviation * Math.sqrt(1 - share * share);
    // The first step has no noise before it.
    const now = before ? gam : 1;
    // From pure noise x / signal is infinite; its noise, x itself, shrinks to sigmaDown.
    if (from.sigma === Infinity) return { x0: to.signal, x: to.signal * down, noise, ...memory };
    const way = to.signal * (from.sigma - down);
    return {
      x: to.signal / from.signal - (way * now) / from.deviation,
      x0: (way * now * from.signal) / from.deviation,
      history: -way * (1 - now),
      noise,
      ...memory,
    };
  };

  return stepSampler('momentum', { steps, spacing, clip }, update);
}
