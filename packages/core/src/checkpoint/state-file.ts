import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Network } from '../models/model.ts';
import { parameterSize } from '../models/parameter-layout.ts';
import type { ParameterSlot } from '../models/weights.ts';
import type { Device, DeviceBuffer, FileOrder } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { lossHistoryOf, lossHistoryShape } from '../training/loss-aware.ts';
import { createTrainingState, stateBuffers, type TrainingState } from '../training/training-state.ts';
import { fileOperation } from './file-errors.ts';
import { openSafetensors, type SafetensorsFile, type SafetensorsSource, writeSafetensors } from './safetensors.ts';

const STATE_NAME = 'state.safetensors';
/** The last losses of each timestep, of runs that draw timesteps by them. */
const HISTORY_NAME = 'lossHistory';
const STATE_FORMAT = 'diffuse state 1';

/** What a state is written with. */
export interface StateOptions {
  /** State of the training, from `training.state`. */
  readonly state: TrainingState;
  /** Fingerprint of the data; a resumed run must have the same. */
  readonly fingerprint: string;
  readonly seed: number;
}

/**
 * Writes `state.safetensors`, from which training resumes exactly, whole and durably: the part of `saveRun` that does for models of one's
 * own as well. `loadTrainingState` reads it. The folder is created as needed.
 *
 * @throws `ERR_CHECKPOINT` naming the file that could not be written.
 */
export async function saveTrainingState(directory: string, { state, fingerprint, seed }: StateOptions): Promise<void> {
  await state.ready;
  await fileOperation('create', directory, () => mkdir(directory, { recursive: true }));
  const tensors = Object.entries(stateBuffers(state)).flatMap(([name, buffer]) =>
    state.weights.table.slots.map(
      (slot): SafetensorsSource => ({
        name: `${name}.${slot.name}`,
        dtype: 'F32',
        shape: slot.shape,
        data: () => readSlot(buffer, slot),
      }),
    ),
  );
  const { lossHistory } = state;
  if (lossHistory) {
    const shape = lossHistoryShape(lossHistory);
    tensors.push({ name: HISTORY_NAME, dtype: 'F32', shape, data: () => lossHistory.losses });
  }
  await writeSafetensors(join(directory, STATE_NAME), tensors, {
    format: STATE_FORMAT,
    step: String(state.step),
    seed: String(seed),
    fingerprint,
  });
}

/**
 * Loads the state of a training run, for `train({ resume })`.
 *
 * @param ema whether the run keeps an average of the weights; must be as it was.
 * @throws `ERR_CHECKPOINT` when the file is damaged, or was made with another model, seed or data.
 */
export async function loadTrainingState(
  directory: string,
  options: { device: Device; model: Network; ema: boolean; fingerprint: string; seed: number },
): Promise<TrainingState> {
  const { device, model, ema, fingerprint, seed } = options;
  await using file = await openSafetensors(join(directory, STATE_NAME));
  const step = checkState(file, { fingerprint, seed });
  model.weights = undefined;
  const state = createTrainingState(model, device, { seed, ema });
  try {
    await state.ready;
    await fillState(state, file, ema);
  } catch (error) {
    model.weights = undefined; // rather than weights of which some are loaded
    for (const buffer of [state.weights.parameters, state.weights.ema]) buffer?.dispose();
    state.dispose();
    throw error;
  }
  state.step = step;
  return state;
}

/** Loads the buffers of a state. @throws DiffuseError `ERR_CHECKPOINT` when the file has others. */
async function fillState(state: TrainingState, file: SafetensorsFile, ema: boolean): Promise<void> {
  const slots = state.weights.table.slots;
  const expected = Object.entries(stateBuffers(state)).flatMap(([name, buffer]) =>
    slots.map((slot) => ({ key: `${name}.${slot.name}`, slot, buffer })),
  );
  const history = file.tensors.has(HISTORY_NAME);
  if (expected.length + Number(history) !== file.tensors.size) {
    throw new DiffuseError(
      'ERR_CHECKPOINT',
      `${file.path}: holds ${file.tensors.size} tensors, this run needs ${expected.length}: it was made with another model, or ${ema ? 'without' : 'with'} an average of the weights`,
    );
  }
  for (const { key, slot, buffer } of expected) {
    const found = file.tensors.get(key)?.shape;
    if (found?.join() !== slot.shape.join()) {
      const has = found ? `as [${found.join(', ')}]` : 'not at all';
      throw new DiffuseError(
        'ERR_CHECKPOINT',
        `${file.path}: has ${key} ${has}, this model needs [${slot.shape.join(', ')}]`,
      );
    }
    await file.loadFloat32(key, buffer, { offset: slot.offset });
  }
  if (history) state.lossHistory = lossHistoryOf(await file.readFloat32(HISTORY_NAME));
}

/** Checks what a state says of itself; returns its step. */
function checkState({ path, metadata }: SafetensorsFile, expected: { fingerprint: string; seed: number }): number {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_CHECKPOINT', `${path}: ${problem}`);
  };
  if (metadata.format !== STATE_FORMAT) refuse('is no state of a training run');
  const step = Number(metadata.step);
  if (!Number.isSafeInteger(step) || step < 0) refuse(`says that ${metadata.step} steps are done`);
  if (metadata.seed !== String(expected.seed)) {
    refuse(`was made with seed ${metadata.seed}, not ${expected.seed}: resuming would not be the same run`);
  }
  if (metadata.fingerprint !== expected.fingerprint) refuse('was made with other data, or data prepared otherwise');
  return step;
}

/** Reads a parameter from a flat buffer, in the given order or as it lies there. */
export function readSlot(buffer: DeviceBuffer, slot: ParameterSlot, order?: FileOrder): Promise<Float32Array> {
  return buffer.read(slot.offset, parameterSize(slot), order);
}
