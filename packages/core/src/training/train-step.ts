import { type Diffusion, NOISING_COLUMNS } from '../diffusion/gaussian.ts';
import { gradient } from '../graph/gradient.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { fill, scale } from '../graph/ops/elementwise.ts';
import { noising } from '../graph/ops/noising.ts';
import { adamwEma, gradientNorm } from '../graph/ops/optimizer.ts';
import { weightedMse } from '../graph/ops/weighted-mse.ts';
import type { Placement } from '../graph/plan.ts';
import type { Model } from '../models/model.ts';
import { type ParameterTable, parameterValues } from '../models/weights.ts';
import { DiffuseError } from '../native/errors.ts';
import { splitSeed } from '../random/philox.ts';
import type { AdamW } from './optimizer.ts';

/** What the second half of a step, the change of the weights, is made of. */
export interface UpdateOptions {
  readonly table: ParameterTable;
  readonly optimizer: AdamW;
  /** Largest gradient norm; longer gradients are shortened to it. 0 turns clipping off. */
  readonly clipNorm: number;
  /** Whether an average of the weights is kept, in the buffer `ema`. */
  readonly ema: boolean;
  /** Forward passes whose gradients are averaged before the weights change. */
  readonly accumulate: number;
}

/** What a training step is made of. */
export interface TrainStepOptions extends UpdateOptions {
  readonly model: Model;
  readonly diffusion: Diffusion;
  /** Images a forward pass. */
  readonly batchSize: number;
  readonly seed: number;
  /** Mirror each image left to right with probability 1/2. */
  readonly flip: boolean;
}

/** A graph with what is to be read from it and what is to be left in device buffers. */
export interface StepGraph<Output extends string> {
  readonly graph: Graph;
  readonly outputs: Readonly<Record<Output, Value>>;
  readonly placements: ReadonlyMap<Value, Placement>;
}

/**
 * One training step from bytes to new weights (Ho et al. 2020, algorithm 1): noise, network, loss, gradients, AdamW.
 *
 * Inputs: `images` uint8 [N, H, W, C] and, for conditional models, `labels` int32 [N]. Scalars: `step`, `sampleOffset` and those of
 * {@link updateWeights}. Buffers: `parameters`, `gradients`, `firstMoment`, `secondMoment`, `ema`, and `table`, the diffusion's
 * noising table. Outputs: `loss` and `norm`, the length of the gradient before clipping.
 */
export function trainStepGraph(options: TrainStepOptions): StepGraph<'loss' | 'norm'> {
  const { graph, outputs, placements } = gradientGraph(options);
  return { graph, outputs: { ...outputs, norm: updateWeights(graph, options) }, placements };
}

/** The first half of a step: leaves the gradients of one batch in the buffer `gradients` and returns the loss. */
export function gradientGraph(options: TrainStepOptions): StepGraph<'loss'> {
  const { model, table, diffusion, batchSize, seed, flip } = options;
  const graph = new Graph();
  const [seedLow, seedHigh] = splitSeed(seed);
  const randomness = { seedLow, seedHigh, step: graph.scalar('step'), sampleOffset: graph.scalar('sampleOffset') };

  const images = graph.input('images', [batchSize, ...model.shape], 'u8');
  const labels = model.classes === null ? undefined : graph.input('labels', [batchSize], 'i32');
  const levels = graph.external('noising table', [diffusion.steps, NOISING_COLUMNS], 'table', 0);
  const { xt, target, timestep, weight } = noising(images, levels, { ...randomness, flip });

  const parameters = parameterValues(graph, table);
  const parameter = (name: string): Value => known(parameters, name);
  const prediction = model.forward({ x: xt, t: timestep, labels, parameter, randomness });
  const { loss } = weightedMse(prediction, target, weight);

  const trained = table.slots.filter(({ name }) => !model.frozen.has(name));
  const one = fill(graph, [1], 1);
  const gradients = gradient(
    [{ value: loss, gradient: one }],
    trained.map(({ name }) => parameter(name)),
  );
  const placements = new Map<Value, Placement>();
  for (const { name, offset } of trained) {
    placements.set(known(gradients, parameter(name)), { buffer: 'gradients', offset });
  }
  return { graph, outputs: { loss }, placements };
}

/**
 * The second half of a step: clips the gradient to `clipNorm`, takes AdamW's step and moves the average, in one pass over the flat
 * buffers. Does nothing when the gradient is not finite. Scalars: `learningRate`, `biasCorrection1`, `biasCorrection2`, `emaDecay`.
 *
 * @returns length of the mean gradient of the accumulated batches, float32 [1].
 */
export function updateWeights(
  graph: Graph,
  { table, optimizer, clipNorm, ema, accumulate }: UpdateOptions,
  gradients = 'gradients',
): Value {
  const flat = (buffer: string): Value => graph.external(buffer, [table.size], buffer, 0);
  const gradientSum = flat(gradients);
  const norm = gradientNorm(gradientSum);
  adamwEma(
    {
      parameter: flat('parameters'),
      firstMoment: flat('firstMoment'),
      secondMoment: flat('secondMoment'),
      ema: ema ? flat('ema') : undefined,
      gradient: gradientSum,
      norm,
    },
    {
      ...optimizer,
      learningRate: graph.scalar('learningRate'),
      biasCorrection1: graph.scalar('biasCorrection1'),
      biasCorrection2: graph.scalar('biasCorrection2'),
      emaDecay: graph.scalar('emaDecay'),
      clipNorm,
      gradientScale: 1 / accumulate,
    },
  );
  return scale(norm, 1 / accumulate);
}

/** {@link updateWeights} as a graph of its own, with the gradients in the buffer `gradients`. */
export function updateGraph(options: TrainStepOptions, gradients: string): StepGraph<'norm'> {
  const graph = new Graph();
  return { graph, outputs: { norm: updateWeights(graph, options, gradients) }, placements: new Map() };
}

/** Adds the buffer `gradients` to the buffer `sum`, or begins a new sum: sum = keep * sum + gradients. Scalar: `keep`, 0 or 1. */
export function accumulationGraph(table: ParameterTable): StepGraph<never> {
  const graph = new Graph();
  const flat = (buffer: string): Value => graph.external(buffer, [table.size], buffer, 0);
  graph.emit({
    kernel: 'add',
    outputs: { y: flat('sum') },
    inputs: { a: flat('sum'), b: flat('gradients') },
    attributes: { alpha: graph.scalar('keep'), beta: 1 },
  });
  return { graph, outputs: {}, placements: new Map() };
}

function known<Key, Item>(map: ReadonlyMap<Key, Item>, key: Key): Item {
  const item = map.get(key);
  if (item === undefined) throw new DiffuseError('ERR_ARGUMENT', `the model has no parameter '${String(key)}'`);
  return item;
}
