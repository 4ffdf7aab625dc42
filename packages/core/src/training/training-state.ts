import { Graph } from '../graph/graph.ts';
import { compile, type Program } from '../graph/program.ts';
import type { Network } from '../models/model.ts';
import { initializeParameters, type ModelWeights, parameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import type { LossHistory } from './loss-aware.ts';

/**
 * Everything that training changes, in flat device buffers of one layout, and how far it has come. With the seed and the data
 * this determines all that follows, bit for bit.
 */
export interface TrainingState {
  readonly weights: ModelWeights;
  readonly firstMoment: DeviceBuffer;
  readonly secondMoment: DeviceBuffer;
  /** Settles when the buffers hold the state to begin from. */
  readonly ready: Promise<void>;
  /** Steps done. */
  step: number;
  /** The last losses of each timestep, where training draws timesteps by them. */
  lossHistory: LossHistory | undefined;
  dispose(): void;
}

/**
 * Allocates the state of a training run; fresh weights from `seed`, or the model's own if it has some on this device. The buffers are
 * filled on the device's thread: see {@link TrainingState.ready}.
 */
export function createTrainingState(
  model: Network,
  device: Device,
  { seed, ema }: { seed: number; ema: boolean },
): TrainingState {
  const table = model.weights?.table ?? parameterTable(model.parameters);
  const allocate = (): DeviceBuffer => device.allocate(table.size * 4);
  const continued = model.weights?.device === device ? model.weights : undefined;
  const parameters = continued?.parameters ?? allocate();
  const average = ema ? (continued?.ema ?? allocate()) : undefined;
  const [firstMoment, secondMoment] = [allocate(), allocate()];
  const weights = { device, table, parameters, ema: average };
  model.weights = weights;
  const fillBuffers = async (): Promise<void> => {
    using averaging = average && !continued?.ema ? copyProgram(device, parameters, average, table.size) : undefined;
    if (!continued) await initializeParameters(device, table, parameters, seed);
    await averaging?.run();
  };
  const ready = fillBuffers();
  ready.catch(() => undefined); // reported to whoever awaits it
  return {
    weights,
    firstMoment,
    secondMoment,
    ready,
    step: 0,
    lossHistory: undefined,
    dispose: () => {
      for (const buffer of [firstMoment, secondMoment]) buffer.dispose();
    },
  };
}

/** Copies float32 elements from one buffer to another, without a detour through JavaScript. */
function copyProgram(device: Device, from: DeviceBuffer, to: DeviceBuffer, elements: number): Program {
  const graph = new Graph();
  const placements = new Map([[graph.external('from', [elements], 'from', 0), { buffer: 'to', offset: 0 }]]);
  return compile(graph, { device, buffers: { from, to }, placements });
}

/** The buffers that exact resuming needs, by their names in `state.safetensors`. */
export function stateBuffers({ weights, firstMoment, secondMoment }: TrainingState): Record<string, DeviceBuffer> {
  return {
    parameters: weights.parameters,
    ...(weights.ema && { ema: weights.ema }),
    firstMoment,
    secondMoment,
  };
}
