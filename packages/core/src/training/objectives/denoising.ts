import { type Diffusion, NOISING_COLUMNS } from '../../diffusion/gaussian.ts';
import { boundTable, estimateTable } from '../../diffusion/learned-variance.ts';
import { targets } from '../../diffusion/targets.ts';
import { expectShape, shapeText, sliceChannels, type Value } from '../../graph/graph.ts';
import { multiply } from '../../graph/ops/elementwise.ts';
import { BOUND_COLUMNS, hybridLoss } from '../../graph/ops/hybrid-loss.ts';
import { noising } from '../../graph/ops/noising.ts';
import { ESTIMATE_COLUMNS, selfConditioning as ownEstimate } from '../../graph/ops/self-conditioning.ts';
import { weightedMse } from '../../graph/ops/weighted-mse.ts';
import type { Model } from '../../models/model.ts';
import { DiffuseError } from '../../native/errors.ts';
import { checkNumber, lookUp } from '../../schedules/checks.ts';
import type { Objective, ObjectiveResult } from '../objective.ts';

/** What a denoising network is trained by. */
export type DiffusionLoss = 'simple' | 'hybrid' | 'vlb';

/** Every loss by the name that configurations and the command line use. */
export const diffusionLosses: Readonly<Record<DiffusionLoss, string>> = {
  simple: 'the weighted squared error',
  hybrid: 'that, and the variational bound for a learned variance',
  vlb: 'the variational bound alone, for a learned variance',
};

/** How the timesteps of training are drawn. */
export type TimestepSampling = 'uniform' | 'loss-aware';

/** Every way to draw timesteps by the name that configurations and the command line use. */
export const timestepSamplings: Readonly<Record<TimestepSampling, string>> = {
  uniform: 'all evenly',
  'loss-aware': 'those more often whose losses are large, each counting less',
};

/** Options of {@link diffusionObjective}. */
export interface DiffusionObjectiveOptions {
  /** Mirror each image left to right with probability 1/2. */
  readonly flip?: boolean;
  /** Deviation of a further noise that is one number for each channel of a sample, at least 0. */
  readonly offsetNoise?: number;
  /** 'hybrid' and 'vlb' are for models that predict their variance, and for no others. */
  readonly loss?: DiffusionLoss;
  /** Weight of the variational bound in the loss 'hybrid', in bits/dim; at least 0, default 0.001. */
  readonly boundWeight?: number;
  /** Half of the time the model is told its own estimate of x0: for self-conditioned models, and for no others. */
  readonly selfConditioning?: boolean;
  readonly timestepSampling?: TimestepSampling;
}

type Settings = Required<DiffusionObjectiveOptions>;

const defaults: Settings = {
  flip: false,
  offsetNoise: 0,
  loss: 'simple',
  boundWeight: 0.001,
  selfConditioning: false,
  timestepSampling: 'uniform',
};

/** The options that follow from the model: the loss, unless another one fits too, and whether it is told its estimate. */
export function objectiveOptionsOf({
  learnedVariance = false,
  selfConditioning = false,
}: Pick<Model, 'learnedVariance' | 'selfConditioning'>): Required<
  Pick<DiffusionObjectiveOptions, 'loss' | 'selfConditioning'>
> {
  return { loss: learnedVariance ? 'hybrid' : 'simple', selfConditioning };
}

/**
 * The denoising objective (Ho et al. 2020, arXiv:2006.11239, algorithm 1): a timestep and noise for each sample, the network's
 * prediction from x_t, its loss. What `train({ diffusion })` uses.
 *
 * - `loss: 'simple'`: the weighted squared error to the target.
 * - `loss: 'hybrid'`: plus `boundWeight` times the variational bound in bits/dim, which teaches the variance alone (Nichol and Dhariwal
 *   2021, eq. (16), arXiv:2102.09672); reported as `bound`. `'vlb'` is the bound alone, and teaches the mean too. Its last term is a
 *   probability of bytes, a density of float32.
 * - `timestepSampling: 'loss-aware'`: section 3.3 of that paper, see `loss-aware.ts`.
 * - `selfConditioning`: Chen et al. 2022, arXiv:2208.04202, algorithm 1. The first pass is without dropout, as in sampling.
 *
 * The data are bytes, read as [-1, 1], or float32, taken as it is; `ERR_DTYPE` otherwise.
 *
 * @throws `ERR_ARGUMENT` for an option out of range, or for a schedule that ends at pure noise where the network predicts it; while
 *   training is planned, for a model that the options do not fit.
 */
export function diffusionObjective(diffusion: Diffusion, options: DiffusionObjectiveOptions = {}): Objective {
  const settings: Settings = { ...defaults, ...options };
  const { flip, offsetNoise, loss, boundWeight, timestepSampling } = settings;
  checkNumber('offsetNoise', offsetNoise, 0, Number.MAX_VALUE);
  checkNumber('boundWeight', boundWeight, 0, Number.MAX_VALUE);
  lookUp('loss', diffusionLosses, loss);
  lookUp('timestep sampling', timestepSamplings, timestepSampling);
  // Where the prediction says nothing of the data, nothing would be learnt, and no sampler could begin.
  diffusion.convertTo(targets.x0, diffusion.steps - 1);
  const columns = columnsOf(settings);
  return {
    name: 'denoising',
    tables: levelTables(diffusion, settings),
    ...(timestepSampling === 'loss-aware' && { lossAware: { timesteps: diffusion.steps } }),
    build({ model, inputs, randomness, parameter, table }) {
      const { data, labels, level, importance } = inputs;
      checkData(model, data, flip);
      checkEstimate(model, settings);
      const rows = table(data.dtype === 'u8' ? 'bytes' : 'numbers', [diffusion.steps, columns.count]);
      const noised = noising(data, rows, { ...randomness, flip, offsetNoise, level });
      const { xt, target, weight, extra } = noised;
      const told = { x: xt, t: noised.timestep, labels, parameter };
      const estimate =
        columns.estimate &&
        ownEstimate(
          xt,
          sliceChannels(model.forward(told), 0, xt.shape.at(-1) ?? 0),
          sliceChannels(extra as Value, columns.estimate.offset, ESTIMATE_COLUMNS),
          { ...randomness, clip: data.dtype === 'u8' ? 1 : Infinity },
        );
      const output = model.forward({ ...told, estimate, randomness });
      checkOutput(output, target, loss);
      if (!columns.bound) return simpleLoss(output, target, weight, importance);
      const coefficients = sliceChannels(extra as Value, columns.bound.offset, BOUND_COLUMNS);
      const { bound, ...result } = hybridLoss(
        { output, xt, target, weight, coefficients, importance },
        { ...shares(settings), boundScale: diffusion.steps / Math.LN2 },
      );
      return { ...result, outputs: { bound } };
    },
  };
}

function simpleLoss(output: Value, target: Value, weight: Value, importance: Value | undefined): ObjectiveResult {
  if (!importance) return { loss: weightedMse(output, target, weight).loss };
  const { loss, perSample } = weightedMse(output, target, multiply(weight, importance));
  return { loss, perSample: multiply(perSample, weight) };
}

/** What the two terms of the loss count. */
function shares({ loss, boundWeight }: Settings): {
  simpleWeight: number;
  boundWeight: number;
  throughMean: boolean;
} {
  return loss === 'vlb'
    ? { simpleWeight: 0, boundWeight: 1, throughMean: true }
    : { simpleWeight: 1, boundWeight, throughMean: false };
}

/** Where a level's numbers for the bound and for the estimate of x0 stand behind those of the noising. */
interface Columns {
  /** Numbers of a level in all. */
  readonly count: number;
  readonly bound: { readonly offset: number } | undefined;
  readonly estimate: { readonly offset: number } | undefined;
}

function columnsOf({ loss, selfConditioning }: Settings): Columns {
  const bound = loss === 'simple' ? 0 : BOUND_COLUMNS;
  return {
    count: NOISING_COLUMNS + bound + (selfConditioning ? ESTIMATE_COLUMNS : 0),
    bound: bound > 0 ? { offset: 0 } : undefined,
    estimate: selfConditioning ? { offset: bound } : undefined,
  };
}

/** All numbers of each level; they differ by the data in the last term of the bound alone. */
function levelTables(diffusion: Diffusion, settings: Settings): Record<'bytes' | 'numbers', Float32Array> {
  const estimate = settings.selfConditioning ? [estimateTable(diffusion)] : [];
  const join = (bound: readonly Float32Array[]): Float32Array =>
    joinRows(diffusion.steps, [diffusion.noisingTable(), ...bound, ...estimate]);
  if (settings.loss === 'simple') {
    const table = join([]);
    return { bytes: table, numbers: table };
  }
  return { bytes: join([boundTable(diffusion, 'bytes')]), numbers: join([boundTable(diffusion, 'density')]) };
}

/** Tables of as many rows side by side. */
function joinRows(rows: number, tables: readonly Float32Array[]): Float32Array {
  const width = tables.reduce((sum, table) => sum + table.length / rows, 0);
  const joined = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    let at = row * width;
    for (const table of tables) {
      const size = table.length / rows;
      joined.set(table.subarray(row * size, (row + 1) * size), at);
      at += size;
    }
  }
  return joined;
}

function checkData(model: Model, data: Value, flip: boolean): void {
  if (data.dtype === 'i32') {
    throw new DiffuseError('ERR_DTYPE', 'Gaussian noise goes with data of bytes or float32; these are int32');
  }
  if (flip && data.shape.length !== 4) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `flip mirrors images [height, width, channels]; the data are [${model.shape.join(', ')}]`,
    );
  }
}

function checkEstimate(model: Model, { selfConditioning }: Settings): void {
  if (selfConditioning === (model.selfConditioning ?? false)) return;
  throw new DiffuseError(
    'ERR_ARGUMENT',
    selfConditioning
      ? 'selfConditioning needs a model that takes its own estimate: make it with selfConditioning: true'
      : 'the model takes its own estimate: train it with selfConditioning: true',
  );
}

/** A network that predicts its variance must be trained to; one that does not, cannot be. */
function checkOutput(output: Value, target: Value, loss: DiffusionLoss): void {
  const channels = target.shape.at(-1) ?? 0;
  const twice = output.shape.at(-1) === 2 * channels;
  if (loss === 'simple' && twice) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      "the model predicts its variance, which the loss 'simple' does not teach: take 'hybrid' or 'vlb'",
    );
  }
  if (loss !== 'simple' && !twice) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `the loss '${loss}' needs a network that predicts its variance, with twice the channels, ` +
        `${2 * channels}: this one makes ${shapeText(output.shape.slice(1))}. Make it with learnedVariance: true`,
    );
  }
  if (loss === 'simple') expectShape('what the model predicts', output.shape, target.shape);
}
