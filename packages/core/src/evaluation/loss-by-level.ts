import { NOISING_COLUMNS } from '../diffusion/gaussian.ts';
import { targets } from '../diffusion/targets.ts';
import { checkInteger } from '../schedules/checks.ts';
import type { Dataset } from '../training/dataset.ts';
import { batchesOf, evaluationData } from './evaluation-data.ts';
import { compileNoisyNetwork, type EvaluatedNetwork, type NetworkProgress, type NoisyResult } from './network.ts';
import { keepPace } from './pace.ts';
import { type Estimate, estimateOf, type RunningMean, runningMean } from './statistics.ts';

/** Options of {@link lossByLevel}. */
export interface LossByLevelOptions extends EvaluatedNetwork {
  readonly data: Dataset;
  /** Samples to look at, a random choice by the seed; default all. */
  readonly count?: number;
  /** Timesteps to look at, or how many, evenly spread from the first to the last; default 20, or all if there are fewer. */
  readonly timesteps?: number | readonly number[];
  /**
   * The smallest mean squared error that a prediction of the noise can have, as a function of sigma: {@link gaussianLossFloor}, or that
   * of the ideal denoiser; undefined where it is not known.
   */
  readonly floor?: ((sigma: number) => number | undefined) | undefined;
  readonly seed?: number;
  /** Samples computed at once, at most. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: NetworkProgress) => void) | undefined;
}

/** Mean squared errors at one noise level, for each element; the same error told in three units. */
export interface LossLevel {
  /** Timestep, 0-based. */
  readonly t: number;
  /** Noise level in the variance-exploding view; Infinity where only noise is left. */
  readonly sigma: number;
  /** Error of the noise: 1 is what a network reaches that always says 0, and 0 is out of reach. */
  readonly eps: Estimate;
  /** Error of the estimate of x0. */
  readonly x0: Estimate;
  /** Error of what the network predicts: the plain training loss at this level. */
  readonly prediction: Estimate;
  /** How much that counts in the training loss. */
  readonly weight: number;
  /** `floor(sigma)`, in the unit of `eps`: what `eps` has more, training can still win. Undefined without one. */
  readonly floor: number | undefined;
}

/** What {@link lossByLevel} found. */
export interface LossByLevel {
  /** From the least noise to the most. */
  readonly levels: readonly LossLevel[];
  /** Samples looked at. */
  readonly count: number;
}

/**
 * How well a network denoises, noise level by noise level. A loss above its floor is what more training can still win; the training loss
 * alone, a mean over levels that differ by orders of magnitude, hides where. The noise depends on the seed, the sample and the
 * timestep alone.
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_DTYPE`, `ERR_OUT_OF_MEMORY` before any computing; `ERR_CANCELLED`.
 */
export async function lossByLevel(options: LossByLevelOptions): Promise<LossByLevel> {
  const { diffusion, seed = 0, batchSize = 64, floor, signal, onProgress } = options;
  const data = evaluationData({ ...options, seed });
  const timesteps = timestepsOf(diffusion.steps, options.timesteps);
  const toX0 = timesteps.map((t) => diffusion.convertTo(targets.x0, t));
  const batches = batchesOf(data.count, batchSize);
  using network = compileNoisyNetwork(options, batches[0]?.count ?? 1);
  const pace = keepPace(signal, 'computing the loss by noise level');
  const errors = timesteps.map(runningMean);
  let done = 0;
  for (const { first, count } of batches) {
    const batch = await data.read(first, count);
    for (const [k, t] of timesteps.entries()) {
      const filled = new Int32Array(count).fill(t);
      const result = await network.run({ batch, timesteps: filled, step: t, first, seed, signal });
      for (let n = 0; n < count; n++) {
        await pace();
        const range: [number, number] = [n * data.dimensions, (n + 1) * data.dimensions];
        errors[k]?.add(squaredError(batch.x0, result, toX0[k] as { x: number; prediction: number }, range));
      }
      onProgress?.({ done: ++done, total: batches.length * timesteps.length });
    }
  }
  const table = diffusion.noisingTable();
  const levels = timesteps.map((t, k): LossLevel => {
    const sigma = diffusion.schedule.sigma[t] as number;
    const x0 = (errors[k] as RunningMean).estimate();
    return {
      t,
      sigma,
      // Knowing x_t, an error of x0 is one of the noise times -sigma, and one of the prediction times a known factor.
      eps: scaled(x0, sigma ** -2),
      x0,
      prediction: scaled(x0, (toX0[k] as { prediction: number }).prediction ** -2),
      weight: table[t * NOISING_COLUMNS + 4] as number,
      floor: floor?.(sigma),
    };
  });
  return { levels, count: data.count };
}

/**
 * The smallest mean squared error that a prediction of the noise can have on Gaussian data, for each dimension: the mean of
 * s^2 / (s^2 + sigma^2) over the variances s^2 along the axes of the data.
 *
 * @param variances of the data, each at least 0; one is enough where all are the same.
 * @param sigma noise level in the variance-exploding view, above 0.
 */
export function gaussianLossFloor(variances: ArrayLike<number>, sigma: number): number {
  return estimateOf(Array.from(variances, (variance) => variance / (variance + sigma * sigma))).mean;
}

/** Mean squared error of the estimate of x0 over the elements [from, to). */
function squaredError(
  x0: Float32Array,
  { xt, prediction }: NoisyResult,
  factors: { readonly x: number; readonly prediction: number },
  [from, to]: readonly [number, number],
): number {
  let squares = 0;
  for (let i = from; i < to; i++) {
    const estimate = factors.x * (xt[i] as number) + factors.prediction * (prediction[i] as number);
    squares += (estimate - (x0[i] as number)) ** 2;
  }
  return squares / (to - from);
}

function scaled({ mean, standardError }: Estimate, factor: number): Estimate {
  return { mean: mean * factor, standardError: standardError * factor };
}

function timestepsOf(steps: number, wanted: number | readonly number[] = Math.min(20, steps)): readonly number[] {
  if (typeof wanted !== 'number') {
    const chosen = wanted.map((t) => checkInteger('timestep t', t, 0, steps - 1));
    return [...new Set(chosen)].sort((a, b) => a - b);
  }
  checkInteger('timesteps of the loss', wanted, 1, steps);
  if (wanted === 1) return [steps - 1];
  return Array.from({ length: wanted }, (_, i) => Math.round((i * (steps - 1)) / (wanted - 1)));
}
