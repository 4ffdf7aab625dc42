import {
  adamW,
  type DataType,
  type Device,
  type Diffusion,
  diffusionObjective,
  estimateMemory,
  Graph,
  type MemoryEstimate,
  type Model,
  type Network,
  objectiveOptionsOf,
  type ParameterTable,
  type Precision,
  parameterSize,
  parameterValues,
  trainStepGraph,
  uploadTables,
  type Value,
} from '@diffuse/core';
import { countFlops, type FlopCount } from '../flops.ts';

/** What one step takes. */
export interface StepFacts {
  readonly flops: FlopCount;
  readonly memoryBytes: number;
}

/** What a model takes at a batch size. */
export interface ModelFacts {
  readonly batchSize: number;
  /** The number format that memory is counted for. */
  readonly precision: Precision;
  /** One evaluation of the network, which is a sampling step. */
  readonly sampling: StepFacts;
  /** One training step, with weights, gradients, moments and average. */
  readonly training: StepFacts;
}

/** A denoising model, and what its steps are planned for. */
export interface PlannedModel {
  /** With its weights on `device`. */
  readonly model: Model;
  readonly diffusion: Diffusion;
  readonly device: Device;
  readonly batchSize: number;
  /** Of the data that it is trained on. */
  readonly dataType: DataType;
}

/** Plans one sampling and one training step without running them. */
export function modelFacts({ model, batchSize, ...planned }: PlannedModel): ModelFacts {
  const { weights } = model;
  if (!weights) throw new TypeError('the model has no weights');
  return {
    batchSize,
    precision: planned.device.precision,
    sampling: samplingFacts(weights, { model, batchSize, ...planned }),
    training: trainingFacts(weights, { model, batchSize, ...planned }),
  };
}

type Weights = NonNullable<Model['weights']>;

function samplingFacts({ table, parameters }: Weights, { model, device, batchSize }: PlannedModel): StepFacts {
  const { graph, prediction } = forwardGraph(model, table, batchSize);
  const memory = estimateMemory(graph, { device, buffers: { parameters }, outputs: { prediction } });
  const imageBytes = 4 * batchSize * model.shape.reduce((product, size) => product * size, 1);
  // x and the estimate of x0 stay on the device between the steps.
  return { flops: countFlops(graph), memoryBytes: peak(memory) + parameters.byteLength + 2 * imageBytes };
}

function trainingFacts(
  { table, parameters }: Weights,
  { model, diffusion, device, batchSize, dataType }: PlannedModel,
): StepFacts {
  const objective = diffusionObjective(diffusion, objectiveOptionsOf(model));
  const { graph, ...step } = trainStepGraph({
    model,
    table,
    objective,
    batchSize,
    dataType,
    seed: 0,
    optimizer: adamW(),
    clipNorm: 1,
    ema: true,
    accumulate: 1,
  });
  const tables = uploadTables(device, objective);
  // Nothing runs: one buffer of the right size stands for all of its kind.
  const flat = {
    parameters,
    firstMoment: parameters,
    secondMoment: parameters,
    ema: parameters,
  };
  const memory = estimateMemory(graph, { device, buffers: { ...flat, ...tables.buffers }, ...step });
  const tableBytes = Object.values(tables.buffers).reduce((sum, { byteLength }) => sum + byteLength, 0);
  tables.dispose();
  return {
    flops: countFlops(graph),
    memoryBytes: peak(memory) + Object.keys(flat).length * parameters.byteLength + tableBytes,
  };
}

/** Parameters of the parts of the network, in the order of the file. */
export function parametersByPart(model: Network): ReadonlyMap<string, number> {
  const parts = new Map<string, number>();
  for (const parameter of model.parameters) {
    const [, part = parameter.name] = /^((?:down|up)_blocks\.\d+|[a-z_0-9]+)\./.exec(parameter.name) ?? [];
    parts.set(part, (parts.get(part) ?? 0) + parameterSize(parameter));
  }
  return parts;
}

function forwardGraph(model: Model, table: ParameterTable, batchSize: number): { graph: Graph; prediction: Value } {
  const graph = new Graph();
  const values = parameterValues(graph, table);
  const prediction = model.forward({
    x: graph.input('x', [batchSize, ...model.shape]),
    t: graph.input('t', [batchSize]),
    labels: model.classes === null ? undefined : graph.input('labels', [batchSize], 'i32'),
    parameter: (name) => values.get(name) as Value,
  });
  return { graph, prediction };
}

function peak({ arenaBytes, scratchBytes }: MemoryEstimate): number {
  return arenaBytes + scratchBytes;
}
