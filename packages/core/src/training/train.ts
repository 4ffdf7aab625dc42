import { performance } from 'node:perf_hooks';
import { type Diffusion, NOISING_COLUMNS } from '../diffusion/gaussian.ts';
import { compile, estimateMemory, type MemoryEstimate, type Program } from '../graph/program.ts';
import type { Model } from '../models/model.ts';
import { type ParameterTable, parameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { type Batch, batchReader } from './batches.ts';
import type { Dataset } from './dataset.ts';
import { emaDecay } from './ema.ts';
import { type LearningRateShape, learningRateAt } from './learning-rate.ts';
import { type AdamW, adamW, biasCorrections } from './optimizer.ts';
import {
  accumulationGraph,
  gradientGraph,
  type StepGraph,
  type TrainStepOptions,
  trainStepGraph,
  updateGraph,
} from './train-step.ts';
import { createTrainingState, type TrainingState } from './training-state.ts';

/** Options of {@link train}. */
export interface TrainOptions {
  readonly model: Model;
  readonly diffusion: Diffusion;
  readonly data: Dataset;
  readonly device: Device;
  /** Steps in all, those of a resumed run included. */
  readonly steps: number;
  /** Images a forward pass. */
  readonly batchSize?: number;
  /** Forward passes a step; their gradients are averaged. */
  readonly accumulate?: number;
  readonly optimizer?: AdamW;
  readonly learningRateShape?: LearningRateShape;
  /** Steps of linear warm-up. */
  readonly warmup?: number;
  /** Largest length of the gradient; 0 turns clipping off. */
  readonly clipNorm?: number;
  /** Largest decay of the average of the weights, in [0, 1); 0 keeps no average. */
  readonly ema?: number;
  /** Mirror images at random. */
  readonly flip?: boolean;
  /** Determines the weights, the order of the images and all noise. */
  readonly seed?: number;
  /** Go on from here; made by `loadRun`. */
  readonly resume?: TrainingState | undefined;
  /** Stops training between two steps or inside one; the step that was under way then has not happened. */
  readonly signal?: AbortSignal | undefined;
}

/** What one step reports. The first four are the same on every run; the others are measured. */
export interface TrainProgress {
  /** Steps done, from 1. */
  readonly step: number;
  /** Mean weighted squared error of the batch. */
  readonly loss: number;
  /** Length of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  readonly timeMs: number;
}

/** A training run: iterate it to train. Between two iterations it can be saved (`saveRun`), sampled from, or left. */
export interface Training extends AsyncIterable<TrainProgress> {
  readonly state: TrainingState;
  /** Bytes that a step takes: arena and scratch, without weights and moments. Known before the first step. */
  readonly peakBytes: number;
  /** Releases programs, gradients and moments; the model keeps its weights. Called when the iteration ends. */
  dispose(): void;
}

const defaults = {
  batchSize: 64,
  accumulate: 1,
  learningRateShape: 'constant',
  warmup: 0,
  clipNorm: 1,
  ema: 0.9999,
  flip: false,
  seed: 0,
} as const;

/**
 * Trains a model. Nothing runs before the iteration begins, but everything is checked and planned: bad options and too little
 * memory are reported by the call.
 *
 * @example
 * for await (const { step, loss } of train({ model, diffusion, data, device, steps: 10_000 })) console.log(step, loss);
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_OUT_OF_MEMORY` at once; while iterating `ERR_CANCELLED`, `ERR_NON_FINITE`, `ERR_DATA`.
 */
export function train(options: TrainOptions): Training {
  const settings = { ...defaults, optimizer: adamW(), ...definedOnly(options) };
  checkOptions(settings);
  const { model, diffusion, device, seed } = settings;
  const table = parameterTable(model.parameters);
  const state = settings.resume ?? createTrainingState(model, device, { seed, ema: settings.ema > 0 });
  const levels = device.allocate(diffusion.steps * NOISING_COLUMNS * 4);
  const ready = Promise.all([state.ready, levels.write(0, diffusion.noisingTable())]);
  ready.catch(() => undefined); // reported by the iteration
  let step: Step | undefined;
  const dispose = (): void => {
    step?.dispose();
    levels.dispose();
    state.dispose();
  };
  try {
    step = compileStep(settings, table, state, levels);
  } catch (error) {
    dispose();
    throw error;
  }
  const compiled = step;
  return {
    state,
    peakBytes: compiled.peakBytes,
    dispose,
    [Symbol.asyncIterator]: () => iterate(settings, state, compiled, ready, dispose),
  };
}

type Settings = TrainOptions & Required<Omit<TrainOptions, 'resume' | 'signal'>>;

async function* iterate(
  settings: Settings,
  state: TrainingState,
  step: Step,
  ready: Promise<unknown>,
  dispose: () => void,
): AsyncGenerator<TrainProgress, void, void> {
  const { data, batchSize, accumulate, seed, steps, signal, optimizer } = settings;
  const read = batchReader(data, batchSize, seed);
  const batchesAt = (index: number): Promise<Batch>[] =>
    Array.from({ length: accumulate }, (_, micro) => read((index * accumulate + micro) * batchSize));
  try {
    await ready;
    let next = batchesAt(state.step);
    while (state.step < steps) {
      const begin = performance.now();
      const index = state.step;
      const batches = await Promise.all(next);
      // The next batches are read while this step computes.
      if (index + 1 < steps) next = batchesAt(index + 1);
      for (const promise of next) promise.catch(() => undefined); // reported when it is awaited
      const learningRate = learningRateAt(
        { peak: optimizer.learningRate, shape: settings.learningRateShape, warmup: settings.warmup, steps },
        index,
      );
      const scalars = { learningRate, ...biasCorrections(optimizer, index), emaDecay: emaDecay(settings.ema, index) };
      const { loss, norm } = await step.run(index, batches, scalars, signal);
      if (!Number.isFinite(loss) || !Number.isFinite(norm)) throw await step.diagnose(index, batches, scalars);
      state.step = index + 1;
      const timeMs = performance.now() - begin;
      const imagesPerSecond = (batchSize * accumulate * 1000) / timeMs;
      yield { step: state.step, loss, gradientNorm: norm, learningRate, imagesPerSecond, timeMs };
    }
  } finally {
    dispose();
  }
}

type StepScalars = Readonly<Record<'learningRate' | 'biasCorrection1' | 'biasCorrection2' | 'emaDecay', number>>;

/** One optimizer step, compiled. */
interface Step {
  readonly peakBytes: number;
  run(
    index: number,
    batches: readonly Batch[],
    scalars: StepScalars,
    signal: AbortSignal | undefined,
  ): Promise<{ loss: number; norm: number }>;
  /** Runs a step that went wrong again, looking at every tensor; returns the error that names the first bad one. */
  diagnose(index: number, batches: readonly Batch[], scalars: StepScalars): Promise<DiffuseError>;
  dispose(): void;
}

function compileStep(settings: Settings, table: ParameterTable, state: TrainingState, levels: DeviceBuffer): Step {
  return settings.accumulate === 1
    ? compileWholeStep(settings, table, state, levels)
    : compileAccumulatedStep(settings, table, state, levels);
}

type Compiler = <Output extends string>(
  step: StepGraph<Output>,
  atBatch?: (batchSize: number) => StepGraph<Output>,
) => Program<Output>;

/** Compiles graphs over the buffers of a training state. */
function compiler(
  settings: Settings,
  state: TrainingState,
  levels: DeviceBuffer,
  extra: Record<string, DeviceBuffer> = {},
): Compiler {
  const { device, batchSize } = settings;
  const { weights, gradients, firstMoment, secondMoment } = state;
  const buffers = {
    parameters: weights.parameters,
    gradients,
    firstMoment,
    secondMoment,
    table: levels,
    ...(weights.ema && { ema: weights.ema }),
    ...extra,
  };
  return ({ graph, outputs, placements }, atBatch) => {
    const memoryAt = (size: number): MemoryEstimate => {
      const other = (atBatch as NonNullable<typeof atBatch>)(size);
      return estimateMemory(other.graph, { device, buffers, outputs: other.outputs, placements: other.placements });
    };
    return compile(graph, {
      device,
      buffers,
      outputs,
      placements,
      ...(atBatch && { batch: { size: batchSize, memoryAt } }),
    });
  };
}

function compileWholeStep(settings: Settings, table: ParameterTable, state: TrainingState, levels: DeviceBuffer): Step {
  const options = stepOptions(settings, table);
  const program = compiler(
    settings,
    state,
    levels,
  )(trainStepGraph(options), (batchSize) => trainStepGraph({ ...options, batchSize }));
  const request = (
    index: number,
    [batch]: readonly Batch[],
    scalars: StepScalars,
  ): { inputs: Record<string, Uint8Array | Int32Array>; scalars: Record<string, number> } => ({
    inputs: inputsOf(settings.model, batch as Batch),
    scalars: { ...scalars, step: index, sampleOffset: 0 },
  });
  return {
    peakBytes: program.peakBytes,
    async run(index, batches, scalars, signal) {
      const { loss, norm } = await program.run({ ...request(index, batches, scalars), signal });
      return { loss: first(loss), norm: first(norm) };
    },
    diagnose: (index, batches, scalars) =>
      firstNonFinite(index, () => program.run({ ...request(index, batches, scalars), checkFinite: true })),
    dispose: () => program.dispose(),
  };
}

function compileAccumulatedStep(
  settings: Settings,
  table: ParameterTable,
  state: TrainingState,
  levels: DeviceBuffer,
): Step {
  const options = stepOptions(settings, table);
  const { batchSize, device, model } = settings;
  const sum = device.allocate(table.size * 4);
  const compileWith = compiler(settings, state, levels, { sum });
  const forwardBackward = compileWith(gradientGraph(options), (size) => gradientGraph({ ...options, batchSize: size }));
  const accumulate = compileWith(accumulationGraph(table));
  const update = compileWith(updateGraph(options, 'sum'));
  const request = (
    index: number,
    micro: number,
    batch: Batch,
  ): { inputs: Record<string, Uint8Array | Int32Array>; scalars: Record<string, number> } => ({
    inputs: inputsOf(model, batch),
    scalars: { step: index, sampleOffset: micro * batchSize },
  });
  return {
    peakBytes: Math.max(forwardBackward.peakBytes, accumulate.peakBytes, update.peakBytes),
    async run(index, batches, scalars, signal) {
      let total = 0;
      for (const [micro, batch] of batches.entries()) {
        const { loss } = await forwardBackward.run({ ...request(index, micro, batch), signal });
        total += first(loss);
        await accumulate.run({ scalars: { keep: micro === 0 ? 0 : 1 }, signal });
      }
      const { norm } = await update.run({ scalars, signal });
      return { loss: total / batches.length, norm: first(norm) };
    },
    diagnose: (index, batches) =>
      firstNonFinite(index, async () => {
        for (const [micro, batch] of batches.entries()) {
          await forwardBackward.run({ ...request(index, micro, batch), checkFinite: true });
        }
      }),
    dispose() {
      for (const program of [forwardBackward, accumulate, update]) program.dispose();
      sum.dispose();
    },
  };
}

async function firstNonFinite(index: number, run: () => Promise<unknown>): Promise<DiffuseError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof DiffuseError && error.code === 'ERR_NON_FINITE') {
      return new DiffuseError(
        'ERR_NON_FINITE',
        `step ${index + 1}: ${error.message}; the weights are as they were before this step`,
        { cause: error },
      );
    }
    throw error;
  }
  return new DiffuseError(
    'ERR_NON_FINITE',
    `step ${index + 1}: the loss or the gradient norm is not finite, though every tensor is: the gradient is too long for float32`,
  );
}

function stepOptions(settings: Settings, table: ParameterTable): TrainStepOptions {
  return { ...settings, table, ema: settings.ema > 0 };
}

function inputsOf(model: Model, { images, labels }: Batch): Record<string, Uint8Array | Int32Array> {
  return model.classes === null || !labels ? { images } : { images, labels };
}

function first(array: Float32Array): number {
  return array[0] ?? Number.NaN;
}

/** Options without the keys that are undefined, so that these take the defaults. */
function definedOnly<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function checkOptions({ model, data, steps, batchSize, accumulate, warmup, clipNorm, ema }: Settings): void {
  const count = (name: string, value: number, minimum: number): void => {
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw new DiffuseError('ERR_ARGUMENT', `${name} is ${value}; it must be an integer, at least ${minimum}`);
    }
  };
  count('steps', steps, 0);
  count('batchSize', batchSize, 1);
  count('accumulate', accumulate, 1);
  count('warmup', warmup, 0);
  if (!(clipNorm >= 0)) throw new DiffuseError('ERR_ARGUMENT', `clipNorm is ${clipNorm}; it must be at least 0`);
  if (!(ema >= 0 && ema < 1)) throw new DiffuseError('ERR_ARGUMENT', `ema is ${ema}; it must be in [0, 1)`);
  if (data.shape.some((size, i) => size !== model.shape[i])) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `the images are ${data.shape.join(' x ')}, the model takes ${model.shape.join(' x ')} (height x width x channels)`,
    );
  }
  if (data.count < 1) throw new DiffuseError('ERR_DATA', 'there are no images to train on');
  if (model.classes !== null) {
    if (!data.labels)
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `the model is told one of ${model.classes} classes, but the data has no labels`,
      );
    const classes = model.classes;
    const wrong = data.labels.find((label) => label < 0 || label >= classes);
    if (wrong !== undefined)
      throw new DiffuseError('ERR_DATA', `the data has the label ${wrong}; the model knows 0 to ${classes - 1}`);
  }
}
