import { performance } from 'node:perf_hooks';
import type { Diffusion } from '../diffusion/gaussian.ts';
import type { Model, Network } from '../models/model.ts';
import { parameterTable } from '../models/weights.ts';
import type { Device } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { type Batch, batchReader } from './batches.ts';
import { checkTraining } from './check-options.ts';
import type { Dataset } from './dataset.ts';
import { checkDropClass, type DropLabelsOptions, dropLabels } from './drop-labels.ts';
import { emaDecay } from './ema.ts';
import { type LearningRateShape, learningRateAt } from './learning-rate.ts';
import { type Objective, uploadTables } from './objective.ts';
import {
  type DiffusionLoss,
  type DiffusionObjectiveOptions,
  diffusionObjective,
  objectiveOptionsOf,
  type TimestepSampling,
} from './objectives/denoising.ts';
import { type AdamW, adamW, biasCorrections } from './optimizer.ts';
import { compileStep, type Step } from './step-programs.ts';
import { learnLosses, prepareHistory, withTimesteps } from './timestep-sampling.ts';
import { createTrainingState, type TrainingState } from './training-state.ts';

/** Options of every training, whatever it is for. */
export interface CommonTrainOptions {
  readonly data: Dataset;
  readonly device: Device;
  /** Steps in all, those of a resumed run included. */
  readonly steps: number;
  /** Samples a forward pass. */
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
  /** Determines the weights, the order of the data and all noise. */
  readonly seed?: number;
  /** Go on from here; made by `loadTrainingState`. */
  readonly resume?: TrainingState | undefined;
  /** Stops training between two steps or inside one; the step that was under way then has not happened. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link train} for a diffusion model. */
export interface TrainOptions extends CommonTrainOptions {
  readonly model: Model;
  readonly diffusion: Diffusion;
  /** Mirror images at random. */
  readonly flip?: boolean;
  /** Deviation of a further noise that shifts each channel of a sample as a whole, at least 0; 0.1 lets a model learn brightness. */
  readonly offsetNoise?: number;
  /**
   * What the network is trained by; default 'hybrid' for models that predict their variance and 'simple' for others, which can have no
   * other. See `diffusionObjective`.
   */
  readonly loss?: DiffusionLoss;
  /** Weight of the variational bound in the loss 'hybrid', in bits/dim; default 0.001. */
  readonly boundWeight?: number;
  /** How the timesteps are drawn; default 'uniform'. */
  readonly timestepSampling?: TimestepSampling;
  /** Share of the labels that are replaced by the model's null class, in [0, 1): what classifier-free guidance needs, usually 0.1. */
  readonly dropClass?: number;
  readonly objective?: undefined;
}

/** Options of {@link train} for anything else than a diffusion model. */
export interface ObjectiveTrainOptions<M extends Network = Model> extends CommonTrainOptions {
  readonly model: M;
  /** What the model is trained for. */
  readonly objective: Objective<M>;
  readonly diffusion?: undefined;
  readonly flip?: undefined;
  readonly offsetNoise?: undefined;
  readonly loss?: undefined;
  readonly boundWeight?: undefined;
  readonly timestepSampling?: undefined;
  readonly dropClass?: undefined;
}

/** What one step reports. Times are measured; all else is the same on every run. */
export interface TrainProgress {
  /** Steps done, from 1. */
  readonly step: number;
  /** What is made small: of a diffusion model, the mean weighted squared error of the batch. */
  readonly loss: number;
  /** Length of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** The objective's own figures by name, such as `accuracy`; of a diffusion model that learns its variance, `bound` in bits/dim. */
  readonly outputs: Readonly<Record<string, number>>;
  /** Samples of the data, images or not. */
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
  seed: 0,
} as const;

/**
 * Trains a model: a denoising one with `diffusion`, any other network with an `objective`. Nothing runs before the iteration begins,
 * but everything is checked and planned: bad options and too little memory are reported by the call.
 *
 * @example
 * for await (const { step, loss } of train({ model, diffusion, data, device, steps: 10_000 })) console.log(step, loss);
 *
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE`, `ERR_OUT_OF_MEMORY` at once; while iterating `ERR_CANCELLED`, `ERR_NON_FINITE`, `ERR_DATA`.
 */
export function train<M extends Network>(options: TrainOptions | ObjectiveTrainOptions<M>): Training {
  const settings: Settings = {
    ...defaults,
    optimizer: adamW(),
    ...definedOnly<CommonTrainOptions & { model: Network }>(options),
  };
  checkTraining(settings);
  const objective = objectiveOf(options);
  const dropping = droppingOf(options);
  const { model, data, device, seed, ema } = settings;
  const table = parameterTable(model.parameters);
  const state = settings.resume ?? createTrainingState(model, device, { seed, ema: ema > 0 });
  const releases = [(): void => state.dispose()];
  const dispose = (): void => {
    for (const release of releases.toReversed()) release();
  };
  try {
    prepareHistory(state, objective);
    const tables = uploadTables(device, objective);
    releases.push(() => tables.dispose());
    const step = compileStep(
      { ...settings, ema: ema > 0, objective, table, dataType: data.dtype ?? 'u8' },
      { device, state, tables: tables.buffers },
    );
    releases.push(() => step.dispose());
    const ready = Promise.all([state.ready, tables.ready]);
    ready.catch(() => undefined); // reported by the iteration
    return {
      state,
      peakBytes: step.peakBytes,
      dispose,
      [Symbol.asyncIterator]: () => iterate({ ...settings, dropping }, state, step, ready, dispose),
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

type Settings = CommonTrainOptions & { model: Network } & Required<Omit<CommonTrainOptions, 'resume' | 'signal'>>;

/** What the options train for. @throws `ERR_ARGUMENT` unless they name exactly one of `diffusion` and `objective`. */
function objectiveOf<M extends Network>(options: TrainOptions | ObjectiveTrainOptions<M>): Objective<Network> {
  const { diffusion, objective } = options;
  if ((diffusion === undefined) === (objective === undefined)) {
    const both = diffusion !== undefined;
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `train needs a diffusion or an objective: it was given ${both ? 'both' : 'neither'}`,
    );
  }
  if (objective) return objective;
  const { model, flip, offsetNoise, loss, boundWeight, timestepSampling } = options as TrainOptions;
  return diffusionObjective(options.diffusion as Diffusion, {
    ...objectiveOptionsOf(model),
    ...definedOnly<DiffusionObjectiveOptions>({ flip, offsetNoise, loss, boundWeight, timestepSampling }),
  });
}

/** Which labels are dropped; undefined where none are. */
type Dropping = Pick<DropLabelsOptions, 'probability' | 'nullClass'> | undefined;

function droppingOf<M extends Network>(options: TrainOptions | ObjectiveTrainOptions<M>): Dropping {
  if (options.diffusion === undefined) return undefined;
  const { model, dropClass: probability = 0 } = options;
  checkDropClass(probability, model);
  return probability === 0 || model.nullClass === null ? undefined : { probability, nullClass: model.nullClass };
}

/** Reads the batches of a step. */
function stepReader({
  data,
  batchSize,
  accumulate,
  seed,
  dropping,
}: Settings & { readonly dropping: Dropping }): (step: number) => Promise<Batch>[] {
  const read = batchReader(data, batchSize, seed);
  const readBatch = async (step: number, micro: number): Promise<Batch> => {
    const batch = await read((step * accumulate + micro) * batchSize);
    if (!dropping || !batch.labels) return batch;
    return { ...batch, labels: dropLabels(batch.labels, { ...dropping, seed, step, sampleOffset: micro * batchSize }) };
  };
  return (step) => Array.from({ length: accumulate }, (_, micro) => readBatch(step, micro));
}

async function* iterate(
  settings: Settings & { readonly dropping: Dropping },
  state: TrainingState,
  step: Step,
  ready: Promise<unknown>,
  dispose: () => void,
): AsyncGenerator<TrainProgress, void, void> {
  const { batchSize, accumulate, steps, signal, optimizer } = settings;
  const batchesAt = stepReader(settings);
  try {
    await ready;
    let next = batchesAt(state.step);
    while (state.step < steps) {
      const begin = performance.now();
      const index = state.step;
      const batches = withTimesteps(await Promise.all(next), state, settings);
      // The next batches are read while this step computes.
      if (index + 1 < steps) next = batchesAt(index + 1);
      for (const promise of next) promise.catch(() => undefined); // reported when it is awaited
      const learningRate = learningRateAt(
        { peak: optimizer.learningRate, shape: settings.learningRateShape, warmup: settings.warmup, steps },
        index,
      );
      const scalars = { learningRate, ...biasCorrections(optimizer, index), emaDecay: emaDecay(settings.ema, index) };
      const { loss, norm, outputs, perSample } = await step.run(index, batches, scalars, signal);
      if (!Number.isFinite(loss) || !Number.isFinite(norm)) throw await step.diagnose(index, batches, scalars);
      learnLosses(state, batches, perSample);
      state.step = index + 1;
      const timeMs = performance.now() - begin;
      const imagesPerSecond = (batchSize * accumulate * 1000) / timeMs;
      yield { step: state.step, loss, gradientNorm: norm, learningRate, outputs, imagesPerSecond, timeMs };
    }
  } finally {
    dispose();
  }
}

/** Options without the keys that are undefined, so that these take the defaults. */
function definedOnly<T extends object>(options: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
