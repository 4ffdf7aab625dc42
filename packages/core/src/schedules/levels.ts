import { DiffuseError } from '../native/errors.ts';
import { checkNumber } from './checks.ts';
import { alphaBarFromSigma, type Schedule, sigmaFromAlphaBar } from './schedule.ts';

/**
 * The noise level sigma between timesteps, in the variance-exploding view: ln sigma is linear from one timestep to the next
 * (k-diffusion's `DiscreteSchedule`, after Karras et al. 2022, appendix C.3.4, arXiv:2206.00364). In a last interval that
 * ends at sigma = Infinity, where ln sigma has no end, alphaBar is linear instead.
 *
 * @param t real, 0 … steps - 1.
 * @returns above 0, Infinity where only noise is left; at an integer t the schedule's own.
 * @throws DiffuseError ERR_ARGUMENT for another t.
 */
export function sigmaAt({ name, steps, alphaBar, sigma }: Schedule, t: number): number {
  checkNumber(`a timestep of schedule '${name}'`, t, 0, steps - 1);
  const index = Math.floor(t);
  const share = t - index;
  const low = sigma[index] as number;
  if (share === 0) return low;
  const high = sigma[index + 1] as number;
  if (high === Infinity) return sigmaFromAlphaBar((1 - share) * (alphaBar[index] as number));
  return low * (high / low) ** share;
}

/**
 * The noise level between timesteps as alphaBar: that of {@link sigmaAt}.
 *
 * @param t real, 0 … steps - 1.
 * @returns in [0, 1); at an integer t the schedule's own.
 * @throws DiffuseError ERR_ARGUMENT for another t.
 */
export function levelAt(schedule: Schedule, t: number): number {
  return schedule.alphaBar[t] ?? alphaBarFromSigma(sigmaAt(schedule, t));
}

/**
 * The timestep of a noise level: the inverse of {@link sigmaAt}.
 *
 * @param sigma noise level in the variance-exploding view, at least 0, perhaps Infinity; a level outside the schedule's has
 *   the nearest timestep.
 * @returns real, 0 … steps - 1; exactly the integer for a level of the schedule.
 * @throws DiffuseError ERR_ARGUMENT for a sigma below 0 or not a number.
 */
export function timestepOf({ steps, alphaBar, sigma: levels }: Schedule, sigma: number): number {
  if (typeof sigma !== 'number' || !(sigma >= 0)) {
    throw new DiffuseError('ERR_ARGUMENT', `sigma must be a number, at least 0, got ${String(sigma)}`);
  }
  const index = lastAtMost(levels, sigma);
  if (index < 0) return 0;
  const low = levels[index] as number;
  if (index === steps - 1 || sigma === low) return index;
  const high = levels[index + 1] as number;
  if (high === Infinity) return index + 1 - alphaBarFromSigma(sigma) / (alphaBar[index] as number);
  return index + Math.log(sigma / low) / Math.log(high / low);
}

/** Index of the last of the ascending `values` that is at most `bound`, -1 if none is. */
function lastAtMost(values: Float64Array, bound: number): number {
  let [below, above] = [-1, values.length];
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if ((values[middle] as number) <= bound) below = middle;
    else above = middle;
  }
  return below;
}
