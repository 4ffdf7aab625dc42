import { targets } from '../diffusion/targets.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose } from '../random/philox.ts';
import { checkInteger, checkPositive } from '../schedules/checks.ts';
import type { Dataset } from '../training/dataset.ts';
import { batchesOf, type EvaluationData, evaluationData } from './evaluation-data.ts';
import { continuousGaussian, discretisedGaussian, type Reconstruction } from './gaussian-probability.ts';
import { fillUniform } from './host-random.ts';
import { compileNoisyNetwork, type EvaluatedNetwork, type NetworkProgress, type NoisyResult } from './network.ts';
import { keepPace } from './pace.ts';
import { type Estimate, estimateOf, type RunningMean, runningMean } from './statistics.ts';
import {
  boundTermNats,
  type FixedVariance,
  type LastVariance,
  learnedLogVariance,
  priorNats,
  reverseLogVariance,
} from './variational-bound.ts';

/** Options of {@link bitsPerDimension}. */
export interface BitsPerDimensionOptions extends EvaluatedNetwork {
  readonly data: Dataset;
  /** Samples to look at, a random choice by the seed; default all. */
  readonly count?: number;
  /**
   * Timesteps to look at for each sample, 2 … T; default all T. Fewer are drawn at random, one from each of so many stretches of the
   * schedule (t = 0 always), so that the bound stays unbiased and only its standard error grows.
   */
  readonly timesteps?: number;
  /**
   * Variances of the reverse process. The default is 'learned-range' for a model that predicts them, 'fixed-large' otherwise.
   */
  readonly variance?: FixedVariance | 'learned-range';
  readonly lastVariance?: LastVariance;
  /** Bound of the estimate of x0, above 0; default 1 for bytes, Infinity (no clipping) for float32. */
  readonly clip?: number;
  /** -log p(x_0 | x_1); default that of 256 levels for bytes, a density for float32. */
  readonly reconstruction?: Reconstruction;
  readonly seed?: number;
  /** Samples computed at once, at most. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: NetworkProgress) => void) | undefined;
}

/** What a stretch of timesteps adds to the bound. */
export interface BoundStretch {
  /** First timestep, 0-based. */
  readonly from: number;
  /** Last timestep; `from` itself where all timesteps are looked at. */
  readonly to: number;
  /** Bits per dimension that all timesteps of the stretch add together. */
  readonly bitsPerDimension: Estimate;
}

/** The variational bound of data and its parts, in bits per dimension: means over samples. */
export interface BitsPerDimension {
  /** prior + diffusion + reconstruction, an upper bound of the negative log likelihood. */
  readonly total: Estimate;
  /** KL(q(x_T | x_0) || N(0, I)). */
  readonly prior: Estimate;
  /** The sum over t > 0 of KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)). */
  readonly diffusion: Estimate;
  /** -log p(x_0 | x_1). */
  readonly reconstruction: Estimate;
  /** From t = 0, the reconstruction, upwards. */
  readonly stretches: readonly BoundStretch[];
  /** Samples looked at. */
  readonly count: number;
  /** Elements of a sample. */
  readonly dimensions: number;
}

/**
 * Variational bound of the negative log likelihood in bits per dimension (Ho et al. 2020, eq. (5), arXiv:2006.11239; computed as
 * improved-diffusion's `calc_bpd_loop`). The noise depends on the seed, the sample and the timestep alone, not on the batch size.
 *
 * For float32 data the bound is that of a density: it depends on the unit of the data and may be negative.
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_DTYPE`, `ERR_OUT_OF_MEMORY` before any computing; `ERR_CANCELLED`.
 */
export async function bitsPerDimension(options: BitsPerDimensionOptions): Promise<BitsPerDimension> {
  const { diffusion, seed = 0, batchSize = 64, timesteps = diffusion.steps, signal, onProgress } = options;
  const data = evaluationData({ ...options, seed });
  const batches = batchesOf(data.count, batchSize);
  const stretches = stretchesOf(diffusion.steps, timesteps);
  using network = compileNoisyNetwork(options, batches[0]?.count ?? 1);
  const termOf = boundTerms(options, data, network.hasVariance);
  const sums = boundSums(stretches.length, data);
  const pace = keepPace(signal, 'computing the variational bound');
  let done = 0;
  for (const { first, count } of batches) {
    const batch = await data.read(first, count);
    const sampleOf = (array: Float32Array, n: number): Float32Array =>
      array.subarray(n * data.dimensions, (n + 1) * data.dimensions);
    for (let n = 0; n < count; n++) sums.addPrior(first + n, priorNats(diffusion, sampleOf(batch.x0, n)));
    for (const [k, stretch] of stretches.entries()) {
      const drawn = Int32Array.from({ length: count }, (_, n) =>
        drawTimestep(stretch, { seed, step: k, sample: first + n }),
      );
      const result = await network.run({ batch, timesteps: drawn, step: k, first, seed, signal });
      for (let n = 0; n < count; n++) {
        await pace();
        const nats = termOf(drawn[n] as number, sampleOf(batch.x0, n), sliceOf(result, n, data.dimensions));
        sums.add(first + n, k, nats * (stretch.to - stretch.from + 1));
      }
      onProgress?.({ done: ++done, total: batches.length * stretches.length });
    }
  }
  return sums.result(stretches);
}

interface Stretch {
  readonly from: number;
  readonly to: number;
}

/**
 * Divides the timesteps into t = 0 and `count - 1` stretches. They grow with t, because the terms of the bound fall steeply.
 */
export function stretchesOf(steps: number, count: number): readonly Stretch[] {
  checkInteger('timesteps of the bound', count, Math.min(2, steps), steps);
  const stretches: Stretch[] = [{ from: 0, to: 0 }];
  const rest = count - 1;
  let from = 1;
  for (let k = 1; k <= rest; k++) {
    // Quadratic, at least one timestep each, and one left for each stretch that follows.
    const wanted = Math.round((steps - 1) * (k / rest) ** 2);
    const to = Math.min(Math.max(wanted, from), steps - 1 - (rest - k));
    stretches.push({ from, to });
    from = to + 1;
  }
  return stretches;
}

/** A uniform timestep of a stretch, of the sample's own. */
function drawTimestep({ from, to }: Stretch, stream: { seed: number; step: number; sample: number }): number {
  if (from === to) return from;
  const uniform = new Float64Array(1);
  fillUniform(uniform, { ...stream, purpose: Purpose.evaluationTimestep });
  return from + Math.floor((uniform[0] as number) * (to - from + 1));
}

function sliceOf({ xt, prediction, variance }: NoisyResult, n: number, size: number): NoisyResult {
  const one = (array: Float32Array): Float32Array => array.subarray(n * size, (n + 1) * size);
  return { xt: one(xt), prediction: one(prediction), variance: variance && one(variance) };
}

/** From what the network said of one sample to a term of the bound in nats. */
function boundTerms(
  options: BitsPerDimensionOptions,
  { discrete }: EvaluationData,
  hasVariance: boolean,
): (t: number, x0: Float32Array, result: NoisyResult) => number {
  const { diffusion, lastVariance, variance = hasVariance ? 'learned-range' : 'fixed-large' } = options;
  const clip = checkPositive('clip of the bound', options.clip ?? (discrete ? 1 : Infinity), Infinity);
  const reconstruction = options.reconstruction ?? (discrete ? discretisedGaussian() : continuousGaussian());
  if (variance === 'learned-range' && !hasVariance) {
    throw new DiffuseError('ERR_ARGUMENT', "variance is 'learned-range', but the model does not predict its variance");
  }
  const fixed = (t: number): number =>
    variance === 'learned-range'
      ? Number.NaN
      : reverseLogVariance(diffusion, t, { variance, ...(lastVariance && { lastVariance }) });
  // A wrong name, and a prediction that says nothing of x0 at the noisiest step, are refused before any computing.
  fixed(0);
  diffusion.convertTo(targets.x0, diffusion.steps - 1);
  return (t, x0, { xt, prediction, variance: said }) => {
    const factors = diffusion.convertTo(targets.x0, t);
    const predictedX0 = new Float64Array(x0.length);
    for (let i = 0; i < x0.length; i++) {
      const raw = factors.x * (xt[i] as number) + factors.prediction * (prediction[i] as number);
      predictedX0[i] = Math.min(Math.max(raw, -clip), clip);
    }
    const logVariance =
      variance === 'learned-range' ? learnedLogVariance(diffusion, t, said as Float32Array) : fixed(t);
    return boundTermNats(diffusion, { t, x0, predictedX0, logVariance, reconstruction });
  };
}

/** Adds the terms up: over the timesteps of each sample, and over the samples for each stretch. */
function boundSums(
  stretchCount: number,
  { count, dimensions }: EvaluationData,
): {
  addPrior(sample: number, nats: number): void;
  add(sample: number, stretch: number, nats: number): void;
  result(stretches: readonly Stretch[]): BitsPerDimension;
} {
  const toBits = 1 / (Math.LN2 * dimensions);
  const parts = {
    prior: new Float64Array(count),
    diffusion: new Float64Array(count),
    reconstruction: new Float64Array(count),
  };
  const byStretch: RunningMean[] = Array.from({ length: stretchCount }, runningMean);
  const increase = (array: Float64Array, sample: number, nats: number): void => {
    array[sample] = (array[sample] as number) + nats * toBits;
  };
  return {
    addPrior: (sample, nats) => increase(parts.prior, sample, nats),
    add(sample, stretch, nats) {
      increase(stretch === 0 ? parts.reconstruction : parts.diffusion, sample, nats);
      byStretch[stretch]?.add(nats * toBits);
    },
    result: (stretches) => ({
      total: estimateOf(
        parts.prior.map((bits, n) => bits + (parts.diffusion[n] as number) + (parts.reconstruction[n] as number)),
      ),
      prior: estimateOf(parts.prior),
      diffusion: estimateOf(parts.diffusion),
      reconstruction: estimateOf(parts.reconstruction),
      stretches: stretches.map(({ from, to }, k) => ({
        from,
        to,
        bitsPerDimension: (byStretch[k] as RunningMean).estimate(),
      })),
      count,
      dimensions,
    }),
  };
}
