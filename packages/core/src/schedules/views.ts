import { DiffuseError } from '../native/errors.ts';
import { checkPositive } from './checks.ts';
import { alphaBarFromSigma } from './schedule.ts';

/**
 * Noisy data of the variance-preserving view, sqrt(alphaBar) x0 + sqrt(1 - alphaBar) eps, in the variance-exploding view
 * x0 + sigma eps of the same noise level: x / sqrt(alphaBar). Times, targets and samplers of one view serve the other by
 * this map and its inverse, {@link toVariancePreserving}.
 *
 * @param x of any shape, flat; not changed.
 * @param alphaBar the noise level, in (0, 1].
 * @returns of the kind and length of `x`.
 * @throws DiffuseError ERR_ARGUMENT where alphaBar is 0, whose sigma is Infinity, or out of range.
 */
export function toVarianceExploding<A extends Float32Array | Float64Array>(x: A, alphaBar: number): A {
  const scale = 1 / Math.sqrt(checkPositive('alphaBar', alphaBar, 1));
  return x.map((value) => value * scale) as A;
}

/**
 * The inverse of {@link toVarianceExploding}: x / sqrt(1 + sigma^2).
 *
 * @param x of any shape, flat; not changed.
 * @param sigma the noise level, at least 0 and finite.
 * @throws DiffuseError ERR_ARGUMENT for another sigma.
 */
export function toVariancePreserving<A extends Float32Array | Float64Array>(x: A, sigma: number): A {
  if (!(Number.isFinite(sigma) && sigma >= 0)) {
    throw new DiffuseError('ERR_ARGUMENT', `sigma must be a finite number, at least 0, got ${String(sigma)}`);
  }
  const scale = Math.sqrt(alphaBarFromSigma(sigma));
  return x.map((value) => value * scale) as A;
}
