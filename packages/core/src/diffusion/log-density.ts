import { DiffuseError } from '../native/errors.ts';
import { checkPositive } from '../schedules/checks.ts';
import type { Schedule } from '../schedules/schedule.ts';
import type { Floats, IsotropicGaussian } from './gaussian.ts';

/** The log density of a whole chain, in nats. */
export interface ChainLogDensity {
  /** Sum of the parts: the chain is Markov, so its density is a product. */
  readonly total: number;
  /** The log density of each factor, in the order in which the states were given. */
  readonly parts: Float64Array;
}

/** What the density of one state needs to know: the mean of its elements, and their variance, above 0. */
export type StateLaw = Pick<IsotropicGaussian<Floats>, 'mean' | 'variance'>;

/**
 * log N(x; mean, variance I) in nats: -n/2 ln(2 pi variance) - |x - mean|^2 / (2 variance), in float64.
 *
 * @param x n numbers.
 * @param law mean of n numbers, or one number for all of them; variance above 0 and finite.
 * @throws DiffuseError ERR_SHAPE for another number of means, ERR_ARGUMENT for another variance: a point has no density.
 */
export function gaussianLogDensity(x: Floats, { mean, variance }: { mean: Floats | number; variance: number }): number {
  checkPositive('variance of a log density', variance, Number.MAX_VALUE);
  if (typeof mean !== 'number' && mean.length !== x.length) {
    throw new DiffuseError('ERR_SHAPE', `the mean must have the ${x.length} elements of x, got ${mean.length}`);
  }
  let squares = 0;
  for (let i = 0; i < x.length; i++) {
    squares += ((x[i] as number) - (typeof mean === 'number' ? mean : (mean[i] as number))) ** 2;
  }
  return -0.5 * (x.length * Math.log(2 * Math.PI * variance) + squares / variance);
}

/**
 * log q(x_1:T | x_0) of a noising chain, the sum over t of log q(x_t | x_{t-1}) with
 * q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I) (Ho et al. 2020, eq. (2), arXiv:2006.11239).
 *
 * @param schedule with T timesteps, or more: the first T are used.
 * @param states x_0, x_1, …, x_T: T + 1 arrays of one length, T at least 1.
 * @returns `parts[t]` is the factor of timestep t (0-based), which draws states[t + 1] from states[t].
 * @throws DiffuseError ERR_ARGUMENT for another number of states, ERR_SHAPE for states of different lengths.
 */
export function forwardLogDensity({ beta, steps }: Schedule, states: readonly Floats[]): ChainLogDensity {
  if (states.length < 2 || states.length > steps + 1) {
    const expected = `2 to ${steps + 1} states, x_0 to x_T`;
    throw new DiffuseError('ERR_ARGUMENT', `a chain of this schedule has ${expected}, got ${states.length}`);
  }
  return sumParts(
    states.slice(1).map((state, t) => {
      const [kept, variance] = [Math.sqrt(1 - (beta[t] as number)), beta[t] as number];
      const mean = Float64Array.from(states[t] as Floats, (value) => kept * value);
      return gaussianLogDensity(state, { mean, variance });
    }),
  );
}

/**
 * log p(x_0:T) of a denoising chain: log p(x_T) + the sum over t of log p(x_{t-1} | x_t) (Ho et al. 2020, eq. (1)), for
 * the means and variances that a model gave at these states.
 *
 * @param states x_0, x_1, …, x_T: T + 1 arrays of one length.
 * @param laws T Gaussians: laws[t] is p(. | states[t + 1]), the law of states[t].
 * @param priorVariance variance of p(x_T) = N(0, priorVariance I): 1 in the variance-preserving view, sigma_T^2 in the other.
 * @returns `parts[t]` is the factor of states[t]; the last one is that of the prior.
 * @throws DiffuseError ERR_ARGUMENT for another number of laws or a variance that is not above 0: DDPM's last step with the
 *   small variance is a point, give it one that is not; ERR_SHAPE for states or means of different lengths.
 */
export function reverseLogDensity(
  states: readonly Floats[],
  laws: readonly StateLaw[],
  priorVariance = 1,
): ChainLogDensity {
  if (states.length !== laws.length + 1) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `a chain of ${states.length} states has one law less than states, got ${laws.length}`,
    );
  }
  const last = states.length - 1;
  const prior = { mean: 0, variance: priorVariance };
  return sumParts(states.map((state, t) => gaussianLogDensity(state, t < last ? (laws[t] as StateLaw) : prior)));
}

function sumParts(parts: readonly number[]): ChainLogDensity {
  return { total: parts.reduce((sum, part) => sum + part, 0), parts: Float64Array.from(parts) };
}
