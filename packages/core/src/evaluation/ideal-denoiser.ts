import type { Floats } from '../diffusion/gaussian.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose } from '../random/philox.ts';
import { checkInteger, checkPositive } from '../schedules/checks.ts';
import { fillNormal } from './host-random.ts';
import { keepPace, type Pace, type PaceOptions } from './pace.ts';
import { type Estimate, runningMean } from './statistics.ts';

/** A finite set of points in any space. */
export interface PointSet {
  /** [count, dimensions], row-major; at least one point. */
  readonly points: Floats;
  readonly dimensions: number;
}

/** Everything that can be known of x_0 when x = x_0 + sigma eps is seen and x_0 is one of a finite set, each as likely as any other. */
export interface IdealDenoiser {
  /** Number of points. */
  readonly count: number;
  readonly dimensions: number;
  /**
   * E[x_0 | x]: the points, weighted by softmax(-|x - x_i|^2 / (2 sigma^2)).
   *
   * @param x [dimensions], in the variance-exploding view.
   * @param sigma above 0.
   */
  denoise(x: Floats, sigma: number): Float64Array;
  /**
   * log p(x) of the points with noise sigma, a mixture of Gaussians, in nats; its negative is the energy of x, and
   * (denoise(x) - x) / sigma^2 its gradient (Tweedie's formula).
   */
  logDensity(x: Floats, sigma: number): number;
}

/**
 * The minimiser of the denoising loss over a finite set (Karras et al. 2022, eq. (57), arXiv:2206.00364), in float64: no network of
 * whatever size has a smaller loss on these data. Samplers that follow it end at the points: it remembers, and makes nothing new.
 *
 * @throws `ERR_SHAPE` when the points do not fill rows of that many numbers.
 */
export function idealDenoiser({ points, dimensions }: PointSet): IdealDenoiser {
  const count = checkPoints({ points, dimensions });
  const check = (x: Floats, sigma: number): void => {
    checkPositive('sigma of the ideal denoiser', sigma, Infinity);
    if (x.length !== dimensions) {
      throw new DiffuseError('ERR_SHAPE', `the points have ${dimensions} dimensions, x has ${x.length}`);
    }
  };
  const logitsOf = (x: Floats, sigma: number): Float64Array => {
    check(x, sigma);
    const logits = new Float64Array(count);
    fillLogits(logits, { points, dimensions }, x, sigma, [0, count]);
    return logits;
  };
  return {
    count,
    dimensions,
    denoise: (x, sigma) => weightedMean(logitsOf(x, sigma), { points, dimensions }),
    logDensity(x, sigma) {
      const logits = logitsOf(x, sigma);
      const largest = maximum(logits);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
      return largest + Math.log(sum / count) - 0.5 * dimensions * Math.log(2 * Math.PI * sigma * sigma);
    },
  };
}

/** Options of {@link idealLoss}. */
export interface IdealLossOptions extends PaceOptions, PointSet {
  /** Noise levels in the variance-exploding view, each above 0. */
  readonly sigmas: readonly number[];
  /** Noisy points for each level; they walk through the set. */
  readonly draws?: number;
  readonly seed?: number;
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

/** Loss of the ideal denoiser at one noise level. */
export interface IdealLossLevel {
  readonly sigma: number;
  /** Mean squared error of the noise it sees, for each dimension. */
  readonly eps: Estimate;
  /** Mean squared error of its estimate of x0, for each dimension: sigma^2 times that. */
  readonly x0: Estimate;
}

/** Points between two looks at the clock. */
const CHUNK = 512;

/**
 * The smallest loss that there is on a finite set of data, level by level, by drawing noisy points. It takes count * dimensions
 * multiplications for each draw and leaves the event loop free.
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_CANCELLED`.
 */
export async function idealLoss(options: IdealLossOptions): Promise<IdealLossLevel[]> {
  const { points, dimensions, sigmas, draws = 64, seed = 0, signal, onProgress } = options;
  const count = checkPoints(options);
  checkInteger('draws of the ideal loss', draws, 1, 2 ** 31);
  for (const sigma of sigmas) checkPositive('sigma of the ideal loss', sigma, Number.MAX_VALUE);
  const pace = keepPace(signal, 'computing the ideal loss');
  const noise = new Float64Array(dimensions);
  const levels: IdealLossLevel[] = [];
  for (const [step, sigma] of sigmas.entries()) {
    const [eps, x0] = [runningMean(), runningMean()];
    for (let draw = 0; draw < draws; draw++) {
      const first = Math.floor((draw * count) / draws) * dimensions;
      const clean = points.subarray(first, first + dimensions);
      // The same noise at every level: what differs between levels is the level.
      fillNormal(noise, { seed, purpose: Purpose.evaluationNoise, step: 0, sample: draw });
      const noisy = Float64Array.from(clean, (value, i) => value + sigma * (noise[i] as number));
      const estimate = weightedMean(await pacedLogits(options, noisy, sigma, pace), options);
      const squares = estimate.reduce((sum, value, i) => sum + (value - (clean[i] as number)) ** 2, 0);
      x0.add(squares / dimensions);
      eps.add(squares / dimensions / (sigma * sigma));
      onProgress?.({ done: step * draws + draw + 1, total: sigmas.length * draws });
    }
    levels.push({ sigma, eps: eps.estimate(), x0: x0.estimate() });
  }
  return levels;
}

async function pacedLogits(set: PointSet, x: Float64Array, sigma: number, pace: Pace): Promise<Float64Array> {
  const logits = new Float64Array(set.points.length / set.dimensions);
  for (let from = 0; from < logits.length; from += CHUNK) {
    fillLogits(logits, set, x, sigma, [from, Math.min(from + CHUNK, logits.length)]);
    await pace();
  }
  return logits;
}

/** -|x - x_i|^2 / (2 sigma^2) for the points [from, to). */
function fillLogits(
  logits: Float64Array,
  { points, dimensions }: PointSet,
  x: Floats,
  sigma: number,
  [from, to]: readonly [number, number],
): void {
  for (let i = from; i < to; i++) {
    const first = i * dimensions;
    let squares = 0;
    for (let j = 0; j < dimensions; j++) {
      const difference = (x[j] as number) - (points[first + j] as number);
      squares += difference * difference;
    }
    logits[i] = -squares / (2 * sigma * sigma);
  }
}

/** The points weighted by the softmax of their logits. */
function weightedMean(logits: Float64Array, { points, dimensions }: PointSet): Float64Array {
  const largest = maximum(logits);
  const mean = new Float64Array(dimensions);
  let total = 0;
  for (const [i, logit] of logits.entries()) {
    const weight = Math.exp(logit - largest);
    if (weight === 0) continue;
    total += weight;
    for (let j = 0; j < dimensions; j++)
      mean[j] = (mean[j] as number) + weight * (points[i * dimensions + j] as number);
  }
  return mean.map((value) => value / total);
}

function maximum(values: Float64Array): number {
  return values.reduce((high, value) => Math.max(high, value), -Infinity);
}

function checkPoints({ points, dimensions }: PointSet): number {
  checkInteger('dimensions of the points', dimensions, 1, 2 ** 31);
  if (points.length === 0 || points.length % dimensions !== 0) {
    throw new DiffuseError('ERR_SHAPE', `${points.length} numbers are no points of ${dimensions} dimensions`);
  }
  return points.length / dimensions;
}
