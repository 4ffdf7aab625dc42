import type { Placement } from '../graph/arena.ts';
import { gradient } from '../graph/gradient.ts';
import { expectShape, Graph, type Value } from '../graph/graph.ts';
import { fill, scale } from '../graph/ops/elementwise.ts';
import { adamwEma, gradientNorm } from '../graph/ops/optimizer.ts';
import type { Network } from '../models/model.ts';
import { type ParameterTable, parameterValues } from '../models/weights.ts';
import { DiffuseError } from '../native/errors.ts';
import { splitSeed } from '../random/philox.ts';
import type { DataType } from './dataset.ts';
import { type Objective, type ObjectiveResult, tableValues } from './objective.ts';
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
  readonly model: Network;
  readonly objective: Objective<Network>;
  /** Samples a forward pass. */
  readonly batchSize: number;
  /** Element type of the data; bytes where it is absent. */
  readonly dataType?: DataType;
  readonly seed: number;
}

/** A graph with what is to be read from it and what is to be left in device buffers. */
export interface StepGraph<Output extends string> {
  readonly graph: Graph;
  readonly outputs: Readonly<Record<Output, Value>>;
  readonly placements: ReadonlyMap<Value, Placement>;
  /** Buffers that live within the graph, by name, with their elements; none by default. */
  readonly transient?: Readonly<Record<string, number>>;
}

/**
 * One training step from data to new weights: the objective's loss (see `diffusionObjective` for algorithm 1 of Ho et al. 2020),
 * gradients, AdamW.
 *
 * Inputs: `data` [N, ...shape] and, for networks with classes, `labels` int32 [N]; of loss-aware objectives `level` and `importance`,
 * float32 [N]. Scalars: `step`, `sampleOffset` and those of
 * {@link updateWeights}. Buffers: `parameters`, `firstMoment`, `secondMoment`, `ema`, and the objective's tables. The gradients are
 * transient: where those of the first layers will be, the last layers' activations have lain before.
 * Outputs: `loss`, `norm`, the length of the gradient before clipping, and those of the objective.
 */
export function trainStepGraph(options: TrainStepOptions): StepGraph<string> {
  const { graph, outputs, placements } = gradientGraph(options);
  const transient = { gradients: options.table.size };
  return { graph, outputs: { ...outputs, norm: updateWeights(graph, options) }, placements, transient };
}

/** The first half of a step: leaves the gradients of one batch in the buffer `gradients` and returns the loss. */
export function gradientGraph(options: TrainStepOptions): StepGraph<string> {
  const { model, objective, table, batchSize, dataType = 'u8', seed } = options;
  const graph = new Graph();
  const [seedLow, seedHigh] = splitSeed(seed);
  const randomness = { seedLow, seedHigh, step: graph.scalar('step'), sampleOffset: graph.scalar('sampleOffset') };
  const data = graph.input('data', [batchSize, ...model.shape], dataType);
  const labels = model.classes === null ? undefined : graph.input('labels', [batchSize], 'i32');

  const perSample = (name: string): Value | undefined =>
    objective.lossAware ? graph.input(name, [batchSize]) : undefined;

  const parameters = parameterValues(graph, table);
  const parameter = (name: string): Value => known(parameters, name);
  const result = objective.build({
    graph,
    model,
    batchSize,
    inputs: { data, labels, level: perSample('level'), importance: perSample('importance') },
    randomness,
    parameter,
    table: tableValues(graph, objective),
  });
  const { loss } = result;
  const outputs = { ...result.outputs, loss };
  checkOutputs(objective.name, outputs);

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
  return { graph, outputs: { ...outputs, ...sampleLosses(objective, result, batchSize) }, placements };
}

/** Name of the output that holds the loss of each sample. */
export const SAMPLE_LOSSES = 'perSample';

function sampleLosses(
  { name, lossAware }: Objective<Network>,
  { perSample }: ObjectiveResult,
  batchSize: number,
): Record<string, Value> {
  if (!lossAware) return {};
  if (!perSample) throw new DiffuseError('ERR_ARGUMENT', `the objective '${name}' is loss-aware, but has no perSample`);
  expectShape(`'perSample' of the objective '${name}'`, perSample.shape, [batchSize]);
  return { [SAMPLE_LOSSES]: perSample };
}

/** An objective reports numbers, and leaves two names to the step. */
function checkOutputs(objective: string, outputs: Readonly<Record<string, Value>>): void {
  for (const [name, value] of Object.entries(outputs)) {
    expectShape(`'${name}' of the objective '${objective}'`, value.shape, [1]);
  }
  for (const taken of ['norm', SAMPLE_LOSSES]) {
    if (!(taken in outputs)) continue;
    throw new DiffuseError('ERR_ARGUMENT', `the objective '${objective}' cannot have an output named '${taken}'`);
  }
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
