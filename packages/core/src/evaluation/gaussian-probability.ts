import type { Floats } from '../diffusion/gaussian.ts';
import { checkInteger, lookUp } from '../schedules/checks.ts';

/**
 * Says how surprising data are under a Gaussian, in nats: the term -log p(x_0 | x_1) of the variational bound.
 *
 * @param x0 the data.
 * @param mean of each element.
 * @param logVariance of all elements, or of each.
 * @returns the sum over the elements.
 */
export type Reconstruction = (x0: Floats, mean: Floats, logVariance: number | Floats) => number;

/** How the probability of an interval of a Gaussian is computed; see {@link discretisedGaussian}. */
export type NormalCdf = 'exact' | 'tanh';

/** Options of {@link discretisedGaussian}. */
export interface DiscretisedGaussianOptions {
  /** Number of values that an element can have, evenly spaced from -1 to 1; at least 2. */
  readonly levels?: number;
  readonly cdf?: NormalCdf;
}

/**
 * Probability of discrete data: the mass that the Gaussian has nearest to each value, the outermost values taking the tails
 * (Ho et al. 2020, eq. (13), arXiv:2006.11239).
 *
 * @param options `cdf`: 'exact' integrates the Gaussian, also far out in its tails. 'tanh' is what improved-diffusion does, to
 *   compare with published figures: Phi(z) ~ (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2, probabilities below 1e-12 raised to that.
 * @throws `ERR_ARGUMENT` for an option out of range.
 */
export function discretisedGaussian({ levels = 256, cdf = 'exact' }: DiscretisedGaussianOptions = {}): Reconstruction {
  checkInteger('levels of discretisedGaussian', levels, 2, 2 ** 24);
  const logMass = lookUp('cdf of discretisedGaussian', logMasses, cdf);
  const half = 1 / (levels - 1);
  return (x0, mean, logVariance) => {
    let nats = 0;
    for (let i = 0; i < x0.length; i++) {
      const scale = Math.exp(-0.5 * element(logVariance, i));
      const x = x0[i] as number;
      const centred = x - (mean[i] as number);
      // A value counts as outermost when it is less than a tenth of a level away, whatever float32 made of it.
      const low = x < -1 + 0.2 * half ? -Infinity : scale * (centred - half);
      const high = x > 1 - 0.2 * half ? Infinity : scale * (centred + half);
      nats -= logMass(low, high);
    }
    return nats;
  };
}

/** Negative log density, for data that are real numbers: the "Gaussian L_0". The result is differential and may be negative. */
export function continuousGaussian(): Reconstruction {
  return (x0, mean, logVariance) => {
    let nats = 0;
    for (let i = 0; i < x0.length; i++) {
      const logVar = element(logVariance, i);
      const difference = (x0[i] as number) - (mean[i] as number);
      nats += 0.5 * (Math.log(2 * Math.PI) + logVar + difference * difference * Math.exp(-logVar));
    }
    return nats;
  };
}

/** Element i of an array, or the number that stands for all elements. */
function element(values: number | Floats, i: number): number {
  return typeof values === 'number' ? values : (values[i] as number);
}

const logMasses: Readonly<Record<NormalCdf, (low: number, high: number) => number>> = {
  exact: logNormalMass,
  tanh(low, high) {
    if (low === -Infinity) return Math.log(Math.max(tanhCdf(high), 1e-12));
    if (high === Infinity) return Math.log(Math.max(1 - tanhCdf(low), 1e-12));
    return Math.log(Math.max(tanhCdf(high) - tanhCdf(low), 1e-12));
  },
};

function tanhCdf(z: number): number {
  return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
}

/**
 * Logarithm of the probability that a standard normal number lies in [low, high]; also where the probability itself is too small for
 * float64.
 *
 * @param low below `high`; may be -Infinity.
 * @param high may be Infinity.
 */
export function logNormalMass(low: number, high: number): number {
  // The mirrored interval has the same mass: look at the one in the upper tail, where nothing cancels.
  if (high <= 0) return logNormalMass(-high, -low);
  if (low <= 0) return Math.log1p(-Math.exp(logUpperTail(-low)) - Math.exp(logUpperTail(high)));
  const near = logUpperTail(low);
  return near + Math.log1p(-Math.exp(logUpperTail(high) - near));
}

/** log P(Z > z) of a standard normal Z, for z >= 0. */
function logUpperTail(z: number): number {
  if (z === Infinity) return -Infinity;
  if (z < 2) return Math.log(0.5 - density(z) * centralSeries(z));
  return -0.5 * z * z - 0.5 * Math.log(2 * Math.PI) - Math.log(tailFraction(z));
}

function density(z: number): number {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
}

/** (Phi(z) - 1/2) / phi(z) = z + z^3/3 + z^5/(3 5) + … (Abramowitz and Stegun 26.2.11). */
function centralSeries(z: number): number {
  let term = z;
  let sum = z;
  for (let k = 3; term > 1e-17 * sum; k += 2) {
    term *= (z * z) / k;
    sum += term;
  }
  return sum;
}

/** phi(z) / (1 - Phi(z)) = z + 1/(z + 2/(z + 3/(z + …))), by Lentz's method (Abramowitz and Stegun 26.2.14). */
function tailFraction(z: number): number {
  let fraction = z;
  let c = z;
  let d = 0;
  for (let k = 1; k < 1000; k++) {
    d = 1 / (z + k * d);
    c = z + k / c;
    const factor = c * d;
    fraction *= factor;
    if (Math.abs(factor - 1) < 1e-16) break;
  }
  return fraction;
}
