import { DiffuseError } from '../native/errors.ts';
import { Purpose, philox, splitSeed } from '../random/philox.ts';

/** Losses that are remembered of each timestep. */
const REMEMBERED = 10;

/** Share of the timesteps that are drawn evenly whatever their losses are, so that none is forgotten. */
const EVEN_SHARE = 0.001;

/** The last losses of each timestep: part of the state of a training. */
export interface LossHistory {
  /** Number of timesteps T. */
  readonly timesteps: number;
  /** float32 [T, 10], each row from the oldest loss to the newest; NaN where there is none yet. */
  readonly losses: Float32Array;
}

/** With which probability each timestep is drawn. */
export interface TimestepLaw {
  /** Above 0, sum 1. */
  readonly probabilities: Float64Array;
  /** `cumulative[t]` is the probability of a timestep up to t. */
  readonly cumulative: Float64Array;
}

/** The timesteps of a batch; float32 [N] each. */
export interface DrawnTimesteps {
  /** Integers 0 … T - 1. */
  readonly level: Float32Array;
  /** How much a sample counts, 1 / (T p): so the expected gradient is that of timesteps drawn evenly. */
  readonly importance: Float32Array;
}

/** A history without a loss. */
export function createLossHistory(timesteps: number): LossHistory {
  return { timesteps, losses: new Float32Array(timesteps * REMEMBERED).fill(Number.NaN) };
}

/**
 * The history that is held in a file.
 *
 * @param losses float32 [T, 10], as {@link LossHistory.losses}.
 * @throws `ERR_CHECKPOINT` for another number of losses.
 */
export function lossHistoryOf(losses: Float32Array): LossHistory {
  if (losses.length === 0 || losses.length % REMEMBERED !== 0) {
    throw new DiffuseError('ERR_CHECKPOINT', `a history of losses has ${REMEMBERED} a timestep, not ${losses.length}`);
  }
  return { timesteps: losses.length / REMEMBERED, losses };
}

/** Shape of {@link LossHistory.losses}. */
export function lossHistoryShape({ timesteps }: LossHistory): readonly [timesteps: number, remembered: number] {
  return [timesteps, REMEMBERED];
}

/** Adds the losses of a step, sample by sample; each timestep forgets its oldest one for a new one. */
export function recordLosses({ losses }: LossHistory, level: Float32Array, perSample: Float32Array): void {
  level.forEach((t, n) => {
    const row = losses.subarray(t * REMEMBERED, (t + 1) * REMEMBERED);
    const empty = row.findIndex(Number.isNaN);
    if (empty < 0) row.copyWithin(0, 1);
    row[empty < 0 ? REMEMBERED - 1 : empty] = perSample[n] as number;
  });
}

/**
 * With which probability each timestep is drawn: p_t in proportion to the root of the mean square of its last ten losses, which makes
 * the gradient's variance least (Nichol and Dhariwal 2021, eq. (18), arXiv:2102.09672), mixed with a thousandth of even drawing.
 *
 * @returns undefined until each timestep has its ten losses: then all are drawn evenly.
 */
export function timestepLaw({ timesteps, losses }: LossHistory): TimestepLaw | undefined {
  if (losses.some(Number.isNaN)) return undefined;
  const roots = Float64Array.from({ length: timesteps }, (_, t) => {
    let squares = 0;
    for (let k = 0; k < REMEMBERED; k++) squares += (losses[t * REMEMBERED + k] as number) ** 2;
    return Math.sqrt(squares / REMEMBERED);
  });
  const sum = roots.reduce((total, root) => total + root, 0);
  if (sum === 0) return undefined;
  const probabilities = roots.map((root) => (1 - EVEN_SHARE) * (root / sum) + EVEN_SHARE / timesteps);
  let total = 0;
  const cumulative = probabilities.map((probability) => {
    total += probability;
    return total;
  });
  return { probabilities, cumulative };
}

/** Which samples {@link drawTimesteps} draws for. */
export interface DrawTimestepsOptions {
  readonly timesteps: number;
  readonly seed: number;
  /** Steps done before this one. */
  readonly step: number;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: number;
  /** Samples of the batch. */
  readonly count: number;
}

/**
 * Draws the timesteps of a batch from the random numbers that the kernel `noising` draws them from, so without a law the two agree: a
 * timestep depends on the seed, the step, the sample and the law alone. With a law it is the first whose cumulative probability is
 * above a uniform number of 53 bits.
 */
export function drawTimesteps(
  law: TimestepLaw | undefined,
  { timesteps, seed, step, sampleOffset, count }: DrawTimestepsOptions,
): DrawnTimesteps {
  const key = splitSeed(seed);
  const level = new Float32Array(count);
  const importance = new Float32Array(count).fill(1);
  for (let n = 0; n < count; n++) {
    const [high, low] = philox(key, [0, sampleOffset + n, step, Purpose.timestep]);
    if (!law) {
      level[n] = Math.floor(((high >>> 8) * timesteps) / 2 ** 24);
      continue;
    }
    const t = firstAbove(law.cumulative, ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53);
    level[n] = t;
    importance[n] = 1 / (timesteps * (law.probabilities[t] as number));
  }
  return { level, importance };
}

/** Index of the first number above u; the last index where rounding has left the last number below it. */
function firstAbove(rising: Float64Array, u: number): number {
  let [below, above] = [-1, rising.length - 1];
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if ((rising[middle] as number) > u) above = middle;
    else below = middle;
  }
  return above;
}
