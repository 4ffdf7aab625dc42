import {
  adamW,
  type Device,
  type Diffusion,
  diffusionObjective,
  estimateMemory,
  Graph,
  type MemoryEstimate,
  type ParameterTable,
  parameterSize,
  parameterValues,
  trainStepGraph,
  type UNet2D,
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
  /** One evaluation of the network, which is a sampling step. */
  readonly sampling: StepFacts;
  /** One training step, with weights, gradients, moments and average. */
  readonly training: StepFacts;
}

/** Plans one sampling and one training step without running them. The model has its weights on `device`. */
export function modelFacts(model: UNet2D, diffusion: Diffusion, device: Device, batchSize: number): ModelFacts {
  const { weights } = model;
  if (!weights) throw new TypeError('the model has no weights');
  return {
    batchSize,
    sampling: samplingFacts(model, weights, device, batchSize),
    training: trainingFacts(model, weights, diffusion, device, batchSize),
  };
}

type Weights = NonNullable<UNet2D['weights']>;

function samplingFacts(model: UNet2D, { table, parameters }: Weights, device: Device, batchSize: number): StepFacts {
  const { graph, prediction } = forwardGraph(model, table, batchSize);
  const memory = estimateMemory(graph, { device, buffers: { parameters }, outputs: { prediction } });
  const imageBytes = 4 * batchSize * model.shape.reduce((product, size) => product * size, 1);
  // x and the estimate of x0 stay on the device between the steps.
  return { flops: countFlops(graph), memoryBytes: peak(memory) + parameters.byteLength + 2 * imageBytes };
}

function trainingFacts(
  model: UNet2D,
  { table, parameters }: Weights,
  diffusion: Diffusion,
  device: Device,
  batchSize: number,
): StepFacts {
  const objective = diffusionObjective(diffusion);
  const { graph, outputs, placements } = trainStepGraph({
    model,
    table,
    objective,
    batchSize,
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
    gradients: parameters,
    firstMoment: parameters,
    secondMoment: parameters,
    ema: parameters,
  };
  const memory = estimateMemory(graph, { device, buffers: { ...flat, ...tables.buffers }, outputs, placements });
  const tableBytes = Object.values(tables.buffers).reduce((sum, { byteLength }) => sum + byteLength, 0);
  tables.dispose();
  return {
    flops: countFlops(graph),
    memoryBytes: peak(memory) + Object.keys(flat).length * parameters.byteLength + tableBytes,
  };
}

/** Parameters of the parts of the network, in the order of the file. */
export function parametersByPart(model: UNet2D): ReadonlyMap<string, number> {
  const parts = new Map<string, number>();
  for (const parameter of model.parameters) {
    const [, part = parameter.name] = /^((?:down|up)_blocks\.\d+|[a-z_0-9]+)\./.exec(parameter.name) ?? [];
    parts.set(part, (parts.get(part) ?? 0) + parameterSize(parameter));
  }
  return parts;
}

function forwardGraph(model: UNet2D, table: ParameterTable, batchSize: number): { graph: Graph; prediction: Value } {
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
