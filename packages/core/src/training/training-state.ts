import type { Model } from '../models/model.ts';
import { initializeParameters, type ModelWeights, parameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';

/**
 * Everything that training changes, in flat device buffers of one layout, and how far it has come. With the seed and the data
 * this determines all that follows, bit for bit.
 */
export interface TrainingState {
  readonly weights: ModelWeights;
  readonly gradients: DeviceBuffer;
  readonly firstMoment: DeviceBuffer;
  readonly secondMoment: DeviceBuffer;
  /** Steps done. */
  step: number;
  dispose(): void;
}

/** Allocates the state of a training run; fresh weights from `seed`, or the model's own if it has some on this device. */
export async function createTrainingState(
  model: Model,
  device: Device,
  { seed, ema }: { seed: number; ema: boolean },
): Promise<TrainingState> {
  const table = model.weights?.table ?? parameterTable(model.parameters);
  const allocate = (): DeviceBuffer => device.allocate(table.size * 4);
  const owned: DeviceBuffer[] = [];
  const own = (buffer: DeviceBuffer): DeviceBuffer => {
    owned.push(buffer);
    return buffer;
  };
  const continued = model.weights?.device === device ? model.weights : undefined;
  const parameters = continued?.parameters ?? allocate();
  if (!continued) await initializeParameters(device, table, parameters, seed);
  let average = ema ? continued?.ema : undefined;
  if (ema && !average) {
    average = allocate();
    await average.write(0, await parameters.read(0, table.size));
  }
  model.weights = { device, table, parameters, ema: average };
  return {
    weights: model.weights,
    gradients: own(allocate()),
    firstMoment: own(allocate()),
    secondMoment: own(allocate()),
    step: 0,
    dispose: () => {
      for (const buffer of owned) buffer.dispose();
    },
  };
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
