import { DiffuseError } from '../native/errors.ts';
import { Purpose } from '../random/philox.ts';
import { checkInteger, checkPositive, lookUp } from '../schedules/checks.ts';
import type { Dataset } from '../training/dataset.ts';
import { batchesOf, type EvaluationBatch, evaluationData } from './evaluation-data.ts';
import { fillNormal, fillSigns, type HostStream } from './host-random.ts';
import type { EvaluatedNetwork, NetworkProgress } from './network.ts';
import { compileFlow, type Flow } from './ode-flow.ts';
import { type Estimate, estimateOf } from './statistics.ts';

/** Law of the random vectors v of Hutchinson's estimate of a trace, E[v' A v] = tr A: signs have the least variance. */
export type ProbeLaw = 'rademacher' | 'gaussian';

const probeLaws: Readonly<Record<ProbeLaw, (target: Float32Array, stream: HostStream) => void>> = {
  rademacher: fillSigns,
  gaussian: fillNormal,
};

/** Options of {@link odeLikelihood}. */
export interface OdeLikelihoodOptions extends EvaluatedNetwork {
  readonly data: Dataset;
  /** Samples to look at, a random choice by the seed; default all. */
  readonly count?: number;
  /** Steps of the integration, an even number, of which a second one takes half; default 64. */
  readonly steps?: number;
  /** Random vectors for the trace, each kept along the whole way of a sample. */
  readonly probes?: number;
  readonly probe?: ProbeLaw;
  /** Where the way begins; default the least noise of the schedule. */
  readonly sigmaMin?: number;
  /** Where it ends; default the most noise of the schedule that is finite. */
  readonly sigmaMax?: number;
  readonly seed?: number;
  /** Samples computed at once, at most. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: NetworkProgress) => void) | undefined;
}

/** What {@link odeLikelihood} found. */
export interface OdeLikelihood {
  /** -log p(x) of a sample as a density, bytes being in [-1, 1]: mean over samples. */
  readonly nats: Estimate;
  /** The same for each dimension, in bits; for bytes that of the discrete values. */
  readonly bitsPerDimension: Estimate;
  /**
   * What the finite steps do to the mean, in bits per dimension: found by a second integration with half the steps, and taken off. The
   * error that is left is much smaller where this is small.
   */
  readonly stepError: number;
  /** float64 [count]: -log p(x) of each sample, in the order of the evaluation. */
  readonly perSample: Float64Array;
  /** Samples looked at. */
  readonly count: number;
  /** Elements of a sample. */
  readonly dimensions: number;
  /** Runs of the network for each sample. */
  readonly evaluations: number;
}

/** Curvature of the grid of noise levels (Karras et al. 2022, eq. (5), arXiv:2206.00364). */
const RHO = 7;

/**
 * Negative log likelihood under the probability-flow ODE (Song et al. 2021, section 4.3 and appendix D.2, arXiv:2011.13456; as
 * k-diffusion's `log_likelihood`). In the variance-exploding view x = x_t / sqrt(alphaBar),
 *
 *     dx / dsigma = eps(x, sigma),      d log p(x(sigma)) / dsigma = -tr(d eps / d x),
 *
 * so that log p(x_min) = log N(x_max; 0, 1 + sigmaMax^2) + integral of the trace from sigmaMin to sigmaMax. The first term is the
 * N(0, I) from which samplers begin, in this view. The way is followed by Heun's method in sigma, the trace is summed by trapezoids in
 * ln sigma, in which it changes least; both are of second order, so that integrations with n and n / 2 steps give one of higher order.
 * The trace is Hutchinson's, by a gradient of the network.
 *
 * What is measured is the density at sigmaMin, of data with that little noise in them. A byte b becomes 2 (b + u) / 255 - 1 with u
 * uniform in [-1/2, 1/2), and
 *
 *     bits per dimension = -log2 p(x) / dimensions + log2(255 / 2),
 *
 * which bounds the bits of the discrete values from above (Theis et al. 2016, section 3.1, arXiv:1511.01844).
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_DTYPE`, `ERR_OUT_OF_MEMORY` before any computing; `ERR_CANCELLED`.
 */
export async function odeLikelihood(options: OdeLikelihoodOptions): Promise<OdeLikelihood> {
  const { steps = 64, probes = 1, seed = 0, batchSize = 64, signal, onProgress } = options;
  checkInteger('probes of the trace', probes, 1, 2 ** 31);
  const fillProbe = lookUp('law of the probes', probeLaws, options.probe ?? 'rademacher');
  const levels = noiseLevels(options, steps);
  const coarse = levels.filter((_, i) => i % 2 === 0);
  const data = evaluationData({ ...options, seed, dequantise: true });
  const { dimensions } = data;
  const batches = batchesOf(data.count, batchSize);
  const evaluations = (grid: readonly number[]): number => probes * grid.length + grid.length - 1;
  const total = batches.length * (evaluations(levels) + evaluations(coarse));
  let done = 0;
  const onRun = (): void => onProgress?.({ done: ++done, total });

  using flow = compileFlow(options, batches[0]?.count ?? 1, { signal, onRun });
  const fine = new Float64Array(data.count);
  const halved = new Float64Array(data.count);
  for (const { first, count } of batches) {
    const batch = await data.read(first, count);
    const vectors = Array.from({ length: probes }, (_, step) => {
      const vector = new Float32Array(count * dimensions);
      for (let n = 0; n < count; n++) {
        const own = vector.subarray(n * dimensions, (n + 1) * dimensions);
        fillProbe(own, { seed, purpose: Purpose.probe, step, sample: first + n });
      }
      return vector;
    });
    fine.set(await follow(flow, levels, batch, vectors), first);
    halved.set(await follow(flow, coarse, batch, vectors), first);
  }

  // Of second order: a third of the difference is the error of the finer grid, to be taken off (Richardson).
  const correction = fine.map((nats, n) => (nats - (halved[n] as number)) / 3);
  const perSample = fine.map((nats, n) => nats + (correction[n] as number));
  const toBits = 1 / (Math.LN2 * dimensions);
  const bits = estimateOf(perSample, toBits);
  const offset = data.discrete ? Math.log2(255 / 2) : 0;
  return {
    nats: estimateOf(perSample),
    bitsPerDimension: { mean: bits.mean + offset, standardError: bits.standardError },
    stepError: Math.abs(estimateOf(correction).mean) * toBits,
    perSample,
    count: data.count,
    dimensions,
    evaluations: evaluations(levels) + evaluations(coarse),
  };
}

/** Increasing noise levels from sigmaMin to sigmaMax; those with even indices are the same grid with half the steps. */
function noiseLevels({ diffusion, ...options }: OdeLikelihoodOptions, steps: number): readonly number[] {
  const { sigma } = diffusion.schedule;
  const least = sigma[0] as number;
  const most = sigma.findLast(Number.isFinite) as number;
  checkInteger('steps of the ODE', steps, 2, 2 ** 24);
  if (steps % 2 !== 0) {
    throw new DiffuseError('ERR_ARGUMENT', `steps of the ODE must be even, for the error estimate; got ${steps}`);
  }
  const sigmaMin = checkPositive('sigmaMin of the ODE', options.sigmaMin ?? least, Infinity);
  const sigmaMax = checkPositive('sigmaMax of the ODE', options.sigmaMax ?? most, Infinity);
  if (!(sigmaMin >= least && sigmaMin < sigmaMax && sigmaMax <= most)) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `the ODE goes from sigmaMin ${sigmaMin} to sigmaMax ${sigmaMax}; both must lie in [${least}, ${most}], the levels of the schedule`,
    );
  }
  const [low, high] = [sigmaMin ** (1 / RHO), sigmaMax ** (1 / RHO)];
  const between = (i: number): number => (low + (i / steps) * (high - low)) ** RHO;
  return Array.from({ length: steps + 1 }, (_, i) => (i === 0 ? sigmaMin : i === steps ? sigmaMax : between(i)));
}

/** Takes samples along the ODE; returns -log p(x) of each in nats. */
async function follow(
  flow: Flow,
  levels: readonly number[],
  batch: EvaluationBatch,
  vectors: readonly Float32Array[],
): Promise<Float64Array> {
  let x = Float64Array.from(batch.x0);
  const traces: Float64Array[] = [];
  for (const [i, sigma] of levels.entries()) {
    const { eps, trace } = await fieldAt(flow, x, sigma, batch, vectors);
    traces.push(trace);
    const next = levels[i + 1];
    if (next === undefined) break;
    // Heun's step
    const h = next - sigma;
    const euler = x.map((value, j) => value + h * (eps[j] as number));
    const there = await flow.eps(euler, next, batch);
    x = x.map((value, j) => value + 0.5 * h * ((eps[j] as number) + (there[j] as number)));
  }
  const samples = traces[0]?.length ?? 0;
  const end = normalNats(x, samples, 1 + (levels.at(-1) as number) ** 2);
  return end.map((nats, n) => nats - trapezoids(levels, (i) => traces[i]?.[n] as number));
}

/** The noise in x, and the mean of the trace's estimates by several random vectors. */
async function fieldAt(
  flow: Flow,
  x: Float64Array,
  sigma: number,
  batch: EvaluationBatch,
  vectors: readonly Float32Array[],
): Promise<{ eps: Float64Array; trace: Float64Array }> {
  let eps = x;
  let sum: Float64Array | undefined;
  for (const vector of vectors) {
    const field = await flow.epsAndTrace(x, sigma, batch, vector);
    eps = field.eps;
    sum = sum ? sum.map((value, n) => value + (field.trace[n] as number)) : field.trace;
  }
  return { eps, trace: (sum as Float64Array).map((value) => value / vectors.length) };
}

/** Integral over sigma by the trapezoidal rule in ln sigma: d sigma = sigma d ln sigma. */
function trapezoids(levels: readonly number[], integrand: (i: number) => number): number {
  let sum = 0;
  for (let i = 1; i < levels.length; i++) {
    const [near, far] = [levels[i - 1] as number, levels[i] as number];
    sum += 0.5 * Math.log(far / near) * (near * integrand(i - 1) + far * integrand(i));
  }
  return sum;
}

/** -log N(x; 0, variance) of each of so many samples, which lie in `x` one after the other. */
function normalNats(x: Float64Array, samples: number, variance: number): Float64Array {
  const dimensions = x.length / samples;
  return Float64Array.from({ length: samples }, (_, n) => {
    const squares = x.subarray(n * dimensions, (n + 1) * dimensions).reduce((sum, value) => sum + value * value, 0);
    return 0.5 * (squares / variance + dimensions * Math.log(2 * Math.PI * variance));
  });
}
