import { checkInteger, checkPositive } from './checks.ts';

/**
 * How much noise each discrete timestep holds: the variance-preserving forward process
 *
 *     q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)              Ho et al. 2020, eq. (2), arXiv:2006.11239
 *     q(x_t | x_0)     = N(sqrt(alphaBar_t) x_0, (1 - alphaBar_t) I)        eq. (4), alphaBar_t = prod_{i<=t} (1 - beta_i)
 *
 * Timesteps are 0-based: `beta[0]` takes clean data to the least noisy step, which the papers call t = 1.
 */
export interface Schedule {
  /** Name in the registry of schedules; 'custom' for one made from arrays. */
  readonly name: string;
  /** Number of timesteps T. */
  readonly steps: number;
  /** float64 [T]: variance added by each step, in (0, 1]. */
  readonly beta: Float64Array;
  /** float64 [T]: share of the data's variance that is left, in [0, 1), strictly decreasing. */
  readonly alphaBar: Float64Array;
  /**
   * float64 [T]: the same noise level in the variance-exploding view x0 + sigma eps, sqrt((1 - alphaBar) / alphaBar),
   * strictly increasing; Infinity where alphaBar is 0.
   */
  readonly sigma: Float64Array;
  /** Whether alphaBar is 0 at the last timestep, so that its noise says nothing of the data. */
  readonly endsAtNoise: boolean;
  /** What the schedule was made from, besides `steps`; enough to make it again, unless it is 'custom'. */
  readonly parameters: Readonly<Record<string, number>>;
}

/** A schedule that is known to end at pure noise: a network that predicts the noise has nothing to learn there. */
export interface PureNoiseSchedule extends Schedule {
  readonly endsAtNoise: true;
}

/** More timesteps than any use has; keeps a slip of the keyboard from filling the memory. */
const MAX_STEPS = 1_000_000;

/**
 * Returns `steps` if a schedule can have so many timesteps: an integer from 1 to 1,000,000.
 *
 * @throws DiffuseError ERR_ARGUMENT otherwise.
 */
export function checkScheduleSteps(name: string, steps: number): number {
  return checkInteger(`steps of schedule '${name}'`, steps, 1, MAX_STEPS);
}

/**
 * Checks the pair of parameters that three of the schedules have: 0 < betaStart <= betaEnd <= 1.
 *
 * @throws DiffuseError ERR_ARGUMENT otherwise.
 */
export function checkBetaRange(name: string, betaStart: number, betaEnd: number): void {
  checkPositive(`betaEnd of schedule '${name}'`, betaEnd, 1);
  checkPositive(`betaStart of schedule '${name}'`, betaStart, betaEnd);
}

/** Largest finite noise level; its square is far from the end of float64. */
export const MAX_SIGMA = 1e100;

/**
 * Checks the pair of parameters that schedules of noise levels have: 0 < sigmaMin <= sigmaMax <= 1e100.
 *
 * @throws DiffuseError ERR_ARGUMENT otherwise.
 */
export function checkSigmaRange(name: string, sigmaMin: number, sigmaMax: number): void {
  checkPositive(`sigmaMax of schedule '${name}'`, sigmaMax, MAX_SIGMA);
  checkPositive(`sigmaMin of schedule '${name}'`, sigmaMin, sigmaMax);
}

/** `count` float64 numbers from `start` to `end`, both included, evenly spaced; only `start` if `count` is 1. */
export function linspace(start: number, end: number, count: number): Float64Array {
  const delta = count > 1 ? (end - start) / (count - 1) : 0;
  const values = Float64Array.from({ length: count }, (_, i) => start + i * delta);
  if (count > 1) values[count - 1] = end;
  return values;
}

/** Signal-to-noise ratio alphaBar / (1 - alphaBar) of a noise level, 0 … Infinity (Kingma et al. 2021, arXiv:2107.00630). */
export function snr(alphaBar: number): number {
  return alphaBar / (1 - alphaBar);
}

/** The variance-exploding noise level sigma of an alphaBar in [0, 1]: sqrt((1 - alphaBar) / alphaBar), Infinity at 0. */
export function sigmaFromAlphaBar(alphaBar: number): number {
  return Math.sqrt((1 - alphaBar) / alphaBar);
}

/** The alphaBar of a variance-exploding noise level in [0, Infinity]: 1 / (1 + sigma^2). */
export function alphaBarFromSigma(sigma: number): number {
  return 1 / (1 + sigma * sigma);
}
