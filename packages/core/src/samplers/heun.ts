import type { Diffusion } from '../diffusion/gaussian.ts';
import { DiffuseError } from '../native/errors.ts';
import { checkNumber, checkPositive } from '../schedules/checks.ts';
import { timestepOf } from '../schedules/levels.ts';
import { type Compat, type CompatOptions, type DiffusersQuirks, diffusersGrid } from './compat.ts';
import {
  checkSampling,
  cleanLevel,
  type Level,
  levelOf,
  type PlanRange,
  type Sampler,
  type SamplerStep,
  samplerLevels,
  samplerStep,
  straightStep,
} from './sampler.ts';

/** Parameters of {@link heun}. */
export interface HeunOptions extends CompatOptions {
  /** Number of steps, 1 … T of the diffusion; each but the last asks the network twice. */
  steps: number;
  /** Amount of fresh noise, S_churn of the paper, at least 0; 0 is deterministic. */
  churn?: number;
  /** Between which noise levels there is fresh noise, S_tmin and S_tmax. */
  churnMin?: number;
  churnMax?: number;
  /** Deviation of the fresh noise, S_noise. */
  churnNoise?: number;
  /** Whether to do what the formulas say or what diffusers does, which knows no churn. */
  compat?: Compat | DiffusersQuirks;
}

/**
 * Heun's method with churn (Karras et al. 2022, algorithm 2, arXiv:2206.00364), order 2; 2 steps - 1 network evaluations. In
 * x / signal = x0 + sigma eps, with D the estimate of x0:
 *
 *     gamma = min(churn / steps, sqrt(2) - 1) if churnMin <= sigma <= churnMax, else 0;  sigmaHat = sigma (1 + gamma)
 *     xHat  = x + sqrt(sigmaHat^2 - sigma^2) churnNoise z
 *     d     = (xHat - D) / sigmaHat,   x' = xHat + (sigma' - sigmaHat) d             Euler; the last step ends here
 *     d'    = (x' - D') / sigma',      x' = xHat + (sigma' - sigmaHat) (d + d') / 2
 *
 * Since d = (x' - D) / sigma' too, the correction is x' + (1 - sigmaHat / sigma') (D - D') / 2: the estimate of the row before, its
 * history, is all it needs. The fresh noise of a step is added by the row before it. The largest sigmaHat is that of the last
 * timestep, so a first step never churns.
 *
 * @throws DiffuseError ERR_ARGUMENT for a parameter out of range.
 */
export function heun({
  steps,
  spacing = 'karras',
  clip = 1,
  churn = 0,
  churnMin = 0,
  churnMax = Infinity,
  churnNoise = 1,
  compat = 'strict',
}: HeunOptions): Sampler {
  checkSampling('heun', { steps, clip, spacing });
  checkNumber("churn of sampler 'heun'", churn, 0, Infinity);
  checkNumber("churnMin of sampler 'heun'", churnMin, 0, Infinity);
  checkNumber("churnMax of sampler 'heun'", churnMax, churnMin, Infinity);
  checkPositive("churnNoise of sampler 'heun'", churnNoise, Infinity);
  const all = diffusersGrid(compat, { family: 'euler', steps, spacing });
  if (all && churn > 0) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `churn of sampler 'heun' is ${churn}; compat 'diffusers' knows none, give 0`,
    );
  }

  /** The level to which a step raises its noise before it begins. */
  const churned = (diffusion: Diffusion, level: Level): Level => {
    const { sigma } = level;
    const largest = diffusion.schedule.sigma[diffusion.steps - 1] as number;
    if (churn === 0 || level === cleanLevel || sigma < churnMin || sigma > churnMax || sigma >= largest) return level;
    const gamma = Math.min(churn / steps, Math.SQRT2 - 1);
    return levelOf(diffusion, timestepOf(diffusion.schedule, Math.min(sigma * (1 + gamma), largest)));
  };

  const plan = (diffusion: Diffusion, range?: PlanRange): SamplerStep[] => {
    const levels = samplerLevels(diffusion, { steps, spacing, levels: all }, range);
    const rows: SamplerStep[] = [];
    let from = levels[0] as Level;
    for (const to of levels.slice(1)) {
      rows.push(samplerStep(diffusion, from, to, clip, straightStep(from, to)));
      if (to === cleanLevel) break;
      const next = churned(diffusion, to);
      // Pure noise has no slope: the first step away from it stays Euler's.
      const correction = from.sigma === Infinity ? 0 : (to.signal * (from.sigma / to.sigma - 1)) / 2;
      const scale = next.signal / to.signal;
      const fresh = next.signal * churnNoise * Math.sqrt(Math.max(0, next.sigma ** 2 - to.sigma ** 2));
      const corrected = { x: scale, x0: scale * correction, history: -scale * correction, noise: fresh };
      rows.push(samplerStep(diffusion, to, next, clip, corrected));
      from = next;
    }
    return rows;
  };

  return { name: 'heun', steps, plan };
}
