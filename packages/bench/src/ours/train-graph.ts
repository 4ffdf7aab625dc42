import {
  adamW,
  diffusionObjective,
  gaussianDiffusion,
  linearSchedule,
  type Objective,
  type ParameterTable,
  parameterTable,
  plan,
  type StepGraph,
  trainStepGraph,
  type UNet2D,
} from '@diffuse/core';
import { type BenchConfig, benchModel } from '../configs.ts';
import { kernelFlops } from '../roofline/kernel-cost.ts';

/** A training step before it is compiled. */
export interface TrainGraph extends StepGraph<string> {
  readonly model: UNet2D;
  readonly objective: Objective;
  readonly table: ParameterTable;
}

/** The step that the suite `train-step` times: no clipping, no average of the weights. */
export function trainGraph(config: BenchConfig): TrainGraph {
  const model = benchModel(config);
  const table = parameterTable(model.parameters);
  const objective = diffusionObjective(gaussianDiffusion({ schedule: linearSchedule() }));
  const step = trainStepGraph({
    ...{ model, table, objective, batchSize: config.batch, seed: 0 },
    ...{ optimizer: adamW(), clipNorm: 0, ema: false, accumulate: 1 },
  });
  return { ...step, model, objective, table };
}

/** Floating-point operations of a training step by the definition of its ops; a multiply-add counts two. */
export function trainStepFlops(config: BenchConfig): number {
  const { graph, outputs, placements } = trainGraph(config);
  const { nodes } = plan(graph, Object.values(outputs), placements);
  return nodes.reduce((sum, node) => sum + kernelFlops(node), 0);
}
