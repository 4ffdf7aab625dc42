import type { Diffusion, Floats } from '../diffusion/gaussian.ts';
import { logVarianceRange } from '../diffusion/learned-variance.ts';
import { posteriorCoefficients } from '../diffusion/posterior.ts';
import { DiffuseError } from '../native/errors.ts';
import { lookUp } from '../schedules/checks.ts';
import type { Reconstruction } from './gaussian-probability.ts';

/** Variance of a reverse step: that of the posterior, or that of the forward step (Ho et al. 2020, section 3.2). */
export type FixedVariance = 'fixed-small' | 'fixed-large';

/**
 * Variance of the last reverse step, p(x_0 | x_1), where the posterior's is 0: that of the posterior one step before, as the code of
 * DDPM and improved-diffusion takes it for both fixed variances, or that of the forward step, beta_0.
 */
export type LastVariance = 'posterior' | 'beta';

/** Which variances the reverse process has. */
export interface ReverseVariance {
  readonly variance: FixedVariance;
  readonly lastVariance?: LastVariance;
}

const fixedVariances: Readonly<Record<FixedVariance, 'variance' | 'beta'>> = {
  'fixed-small': 'variance',
  'fixed-large': 'beta',
};
const lastVariances: Readonly<Record<LastVariance, 'variance' | 'beta'>> = { posterior: 'variance', beta: 'beta' };

/**
 * Logarithm of the variance of p(x_{t-1} | x_t).
 *
 * @param t 0 … T - 1, integer; 0 is the step to the data.
 * @throws `ERR_ARGUMENT` for an unknown variance.
 */
export function reverseLogVariance(
  diffusion: Diffusion,
  t: number,
  { variance, lastVariance = 'posterior' }: ReverseVariance,
): number {
  const kind = lookUp('variance', fixedVariances, variance);
  const last = lookUp('last variance', lastVariances, lastVariance);
  if (t > 0) return Math.log(posteriorAt(diffusion, t)[kind]);
  const { steps } = diffusion;
  return Math.log(
    last === 'variance' && steps > 1 ? posteriorAt(diffusion, 1).variance : posteriorAt(diffusion, 0).beta,
  );
}

/**
 * Logarithm of a learned variance, between those of `fixed-small` and `fixed-large` (Nichol and Dhariwal 2021, eq. (15),
 * arXiv:2102.09672).
 *
 * @param v what the network says, about -1 (small) to 1 (large).
 */
export function learnedLogVariance(diffusion: Diffusion, t: number, v: Floats): Float64Array {
  const { low, high } = logVarianceRange(diffusion, t);
  return Float64Array.from(v, (value) => low + ((value + 1) / 2) * (high - low));
}

/** One term of the bound, for one sample. Arrays have the same length. */
export interface BoundTerm {
  /** 0 … T - 1, integer; 0 is the reconstruction. */
  readonly t: number;
  /** The data. */
  readonly x0: Floats;
  /** The network's estimate of the data from x_t, clipped if it is to be. */
  readonly predictedX0: Floats;
  /** Logarithm of the variance of p(x_{t-1} | x_t), of all elements or of each. */
  readonly logVariance: number | Floats;
  /** What -log p(x_0 | x_1) means for the data. */
  readonly reconstruction: Reconstruction;
}

/**
 * One term of the variational bound (Ho et al. 2020, eq. (5), arXiv:2006.11239) in float64:
 *
 *     t > 0   KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))
 *             = 1/2 sum (-1 + lv2 - lv1 + e^(lv1 - lv2) + (m1 - m2)^2 e^-lv2)
 *     t = 0   -log p(x_0 | x_1)
 *
 * Both means are the posterior's, of x_0 and of its estimate, so that they differ by a multiple of x_0 - predictedX0.
 *
 * @returns nats, summed over the elements.
 * @throws `ERR_SHAPE` for arrays of different lengths.
 */
export function boundTermNats(diffusion: Diffusion, term: BoundTerm): number {
  const { t, x0, predictedX0, logVariance, reconstruction } = term;
  for (const array of [predictedX0, logVariance]) {
    if (typeof array !== 'number' && array.length !== x0.length) {
      throw new DiffuseError('ERR_SHAPE', `a term of the bound has ${x0.length} elements, but also ${array.length}`);
    }
  }
  if (t === 0) return reconstruction(x0, predictedX0, logVariance);
  const posterior = posteriorAt(diffusion, t);
  const trueLogVariance = Math.log(posterior.variance);
  // expm1: the variances may agree, and then these terms must cancel.
  const spread = (logVar: number): number => Math.expm1(trueLogVariance - logVar) - (trueLogVariance - logVar);
  const square = (i: number): number => (posterior.x0 * ((x0[i] as number) - (predictedX0[i] as number))) ** 2;
  let nats = 0;
  if (typeof logVariance === 'number') {
    for (let i = 0; i < x0.length; i++) nats += square(i);
    return 0.5 * (nats * Math.exp(-logVariance) + x0.length * spread(logVariance));
  }
  for (let i = 0; i < x0.length; i++) {
    const logVar = logVariance[i] as number;
    nats += 0.5 * (square(i) * Math.exp(-logVar) + spread(logVar));
  }
  return nats;
}

/**
 * The part of the bound that no network can change: KL(q(x_T | x_0) || N(0, I)).
 *
 * @returns nats, summed over the elements.
 */
export function priorNats(diffusion: Diffusion, x0: Floats): number {
  const alphaBar = diffusion.schedule.alphaBar[diffusion.steps - 1] as number;
  let nats = 0;
  // -1 + (1 - alphaBar) - log(1 - alphaBar), written so that nothing cancels where alphaBar is small.
  for (const x of x0) nats += 0.5 * (alphaBar * x * x - alphaBar - Math.log1p(-alphaBar));
  return nats;
}

function posteriorAt(diffusion: Diffusion, t: number): ReturnType<typeof posteriorCoefficients> {
  const { alphaBar } = diffusion.schedule;
  return posteriorCoefficients(alphaBar[t] as number, t > 0 ? (alphaBar[t - 1] as number) : 1);
}
