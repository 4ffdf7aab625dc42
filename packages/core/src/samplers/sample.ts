import type { Diffusion } from '../diffusion/gaussian.ts';
import { elementCount, Graph, type Scalar, type Value } from '../graph/graph.ts';
import { fill } from '../graph/ops/elementwise.ts';
import { randomNormal } from '../graph/ops/random.ts';
import { samplerUpdate } from '../graph/ops/sampler-update.ts';
import { compile, type Program } from '../graph/program.ts';
import type { Model } from '../models/model.ts';
import { parameterValues, weightsOn } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose, splitSeed } from '../random/philox.ts';
import type { Sampler, SamplerStep } from './sampler.ts';

/** Options of {@link sample}. */
export interface SampleOptions {
  readonly model: Model;
  readonly diffusion: Diffusion;
  readonly device: Device;
  readonly sampler: Sampler;
  /** Number of images. */
  readonly count: number;
  /** Determines the images: image i of a seed is the same in every batch, of whatever size. */
  readonly seed?: number;
  /** Images computed at once; default all, at most 64. */
  readonly batchSize?: number;
  /** Class of each image, for conditional models. */
  readonly labels?: ArrayLike<number> | undefined;
  /** Use the average of the weights where the model has one. */
  readonly ema?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called after each step of each batch. */
  readonly onStep?: ((progress: SampleProgress) => void) | undefined;
}

/** How far sampling has come. */
export interface SampleProgress {
  /** Network evaluations done, over all batches. */
  readonly done: number;
  readonly total: number;
}

/** Images in [-1, 1]. */
export interface Samples {
  /** float32 [count, ...shape of the model], values in about [-1, 1], row-major. */
  readonly images: Float32Array;
  /** [count, ...shape of the model]. */
  readonly shape: readonly number[];
}

/** What one step saw and made of it; arrays are float32 [count, ...shape of the model]. */
export interface SampleStep {
  /** Steps done, from 1. */
  readonly step: number;
  /** The timestep that the network was told. */
  readonly t: number;
  /** The noisy images before the step. */
  readonly xt: Float32Array;
  /** The network's prediction, expressed as noise. */
  readonly eps: Float32Array;
  /** The clipped estimate of the clean images. */
  readonly x0: Float32Array;
  /** The images after the step. */
  readonly next: Float32Array;
}

async function sampleAll(options: SampleOptions): Promise<Samples> {
  const { model, count, seed = 0, signal, onStep } = options;
  const plan = checkedPlan(options);
  const batches = splitBatches(count, options.batchSize);
  const size = elementCount(model.shape);
  const images = new Float32Array(count * size);
  const sampling = compileSampling(options, batches[0]?.count ?? 1);
  try {
    let done = 0;
    for (const { offset, count: wanted } of batches) {
      await sampling.begin(seed, offset);
      for (const [index, step] of plan.entries()) {
        await sampling.step({ step, index, seed, offset, labels: options.labels, signal });
        onStep?.({ done: ++done, total: plan.length * batches.length });
      }
      images.set((await sampling.read()).subarray(0, wanted * size), offset * size);
    }
  } finally {
    sampling.dispose();
  }
  return { images, shape: [count, ...model.shape] };
}

async function* sampleSteps(options: SampleOptions): AsyncGenerator<SampleStep, void, void> {
  const { diffusion, count, seed = 0, labels, signal } = options;
  const plan = checkedPlan(options);
  const sampling = compileSampling(options, count, true);
  try {
    await sampling.begin(seed, 0);
    for (const [index, step] of plan.entries()) {
      const xt = await sampling.read();
      const { prediction, x0 } = await sampling.step({ step, index, seed, offset: 0, labels, signal });
      const eps = diffusion.predictEps(xt, prediction as Float32Array, step.t);
      yield { step: index + 1, t: step.t, xt, eps, x0: x0 as Float32Array, next: await sampling.read() };
    }
  } finally {
    sampling.dispose();
  }
}

/**
 * Draws images: x_T from noise, then one program a step: network, estimate of x0, one fused update (see `SamplerStep`).
 * `sample.steps` does the same in one batch and yields every step: for pictures of the process.
 *
 * @throws `ERR_ARGUMENT`, `ERR_OUT_OF_MEMORY` at once; `ERR_CANCELLED`.
 */
export const sample: {
  (options: SampleOptions): Promise<Samples>;
  steps(options: SampleOptions): AsyncGenerator<SampleStep, void, void>;
} = Object.assign(sampleAll, { steps: sampleSteps });

interface StepRequest {
  readonly step: SamplerStep;
  readonly index: number;
  readonly seed: number;
  /** Index of the batch's first image. */
  readonly offset: number;
  readonly labels: ArrayLike<number> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** The two programs of sampling: initial noise, and one step. The images stay on the device between steps. */
interface Sampling {
  begin(seed: number, offset: number): Promise<unknown>;
  step(request: StepRequest): Promise<Partial<Record<'prediction' | 'x0', Float32Array>>>;
  read(): Promise<Float32Array>;
  dispose(): void;
}

function compileSampling(options: SampleOptions, batchSize: number, fetch = false): Sampling {
  const { model, device, ema = true } = options;
  const weights = weightsOn(model, device);
  const shape = [batchSize, ...model.shape];
  const x = device.allocate(4 * elementCount(shape));
  const x0 = device.allocate(4 * elementCount(shape));
  const parameters = (ema ? weights.ema : undefined) ?? weights.parameters;
  const programs: Program[] = [];
  const dispose = (): void => {
    for (const item of [...programs, x, x0]) item.dispose();
  };
  try {
    const begin = compileBegin(device, shape, x);
    programs.push(begin);
    const step = compileStep(model, device, shape, { x, x0, parameters }, fetch);
    programs.push(step);
    return {
      begin: (seed, offset) => begin.run({ scalars: { ...seedScalars(seed), sampleOffset: offset } }),
      step: ({ step: coefficients, index, seed, offset, labels, signal }) =>
        step.run({
          scalars: { ...stepScalars(coefficients), ...seedScalars(seed), step: index, sampleOffset: offset },
          inputs: model.classes === null ? {} : { labels: batchLabels(labels, offset, batchSize) },
          signal,
        }),
      read: () => x.read(0, elementCount(shape)),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

function compileBegin(device: Device, shape: readonly number[], x: DeviceBuffer): Program {
  const graph = new Graph();
  const stream = {
    seedLow: graph.scalar('seedLow'),
    seedHigh: graph.scalar('seedHigh'),
    sampleOffset: graph.scalar('sampleOffset'),
    purpose: Purpose.sampleStart,
    step: 0,
  };
  const noise = randomNormal(graph, shape, stream);
  return compile(graph, { device, buffers: { x }, placements: new Map([[noise, { buffer: 'x', offset: 0 }]]) });
}

/** One step of sampling as a graph over the buffers `x`, `x0` (estimate of the step before) and `parameters`. */
function compileStep(
  model: Model,
  device: Device,
  shape: readonly number[],
  buffers: Readonly<Record<'x' | 'x0' | 'parameters', DeviceBuffer>>,
  fetch: boolean,
): Program<'prediction' | 'x0'> {
  const graph = new Graph();
  const x = graph.external('x', shape, 'x', 0);
  const history = graph.external('x0', shape, 'x0', 0);
  const parameters = parameterValues(graph, weightsOn(model, device).table);
  const t = fill(graph, [shape[0] ?? 1], graph.scalar('t'));
  const labels = model.classes === null ? undefined : graph.input('labels', [shape[0] ?? 1], 'i32');
  const prediction = model.forward({ x, t, labels, parameter: (name) => parameters.get(name) as Value });
  const scalar = (name: string): Scalar => graph.scalar(name);
  samplerUpdate(
    { x, prediction, history, into: { xNext: x, x0: history } },
    {
      x0FromX: scalar('x0FromX'),
      x0FromPrediction: scalar('x0FromPrediction'),
      clip: scalar('clip'),
      coefficientX: scalar('x'),
      coefficientX0: scalar('x0'),
      coefficientPrediction: scalar('prediction'),
      coefficientHistory: scalar('history'),
      coefficientNoise: scalar('noise'),
      seedLow: scalar('seedLow'),
      seedHigh: scalar('seedHigh'),
      step: scalar('step'),
      sampleOffset: scalar('sampleOffset'),
    },
  );
  return compile(graph, { device, buffers, ...(fetch && { outputs: { prediction, x0: history } }) });
}

function stepScalars({
  t,
  x0FromX,
  x0FromPrediction,
  clip,
  x,
  x0,
  prediction,
  history,
  noise,
}: SamplerStep): Record<string, number> {
  return { t, x0FromX, x0FromPrediction, clip, x, x0, prediction, history, noise };
}

function seedScalars(seed: number): Record<'seedLow' | 'seedHigh', number> {
  const [seedLow, seedHigh] = splitSeed(seed);
  return { seedLow, seedHigh };
}

/** Labels of one batch; the last batch may be longer than what is left and repeats the last label. */
function batchLabels(labels: ArrayLike<number> | undefined, offset: number, count: number): Int32Array {
  const all = labels ?? [];
  return Int32Array.from({ length: count }, (_, i) => all[Math.min(offset + i, all.length - 1)] ?? 0);
}

/** Batches of nearly equal size, so that the last one is not mostly empty. */
function splitBatches(count: number, largest = 64): { offset: number; count: number }[] {
  const batches = Math.ceil(count / largest);
  const size = Math.ceil(count / batches);
  return Array.from({ length: batches }, (_, i) => ({
    offset: i * size,
    count: Math.min(size, count - i * size),
  })).filter((batch) => batch.count > 0);
}

function checkedPlan({
  model,
  diffusion,
  sampler,
  count,
  batchSize = 1,
  labels,
}: SampleOptions): readonly SamplerStep[] {
  for (const [name, value] of Object.entries({ count, batchSize })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new DiffuseError('ERR_ARGUMENT', `${name} is ${value}; it must be a positive integer`);
    }
  }
  if (model.classes === null && labels) {
    throw new DiffuseError('ERR_ARGUMENT', 'labels were given, but the model is not told a class');
  }
  if (model.classes !== null) {
    const { classes } = model;
    if (labels?.length !== count) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `the model is told a class: give ${count} labels, got ${labels?.length ?? 'none'}`,
      );
    }
    const wrong = Array.from(labels).find((label) => !Number.isInteger(label) || label < 0 || label >= classes);
    if (wrong !== undefined)
      throw new DiffuseError('ERR_ARGUMENT', `the label ${wrong} is not a class; they are 0 to ${classes - 1}`);
  }
  return sampler.plan(diffusion);
}
