import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diffusion, gaussianDiffusion } from '../diffusion/gaussian.ts';
import { fileOrder, parameterSize } from '../models/parameter-layout.ts';
import { UNet2D } from '../models/unet2d.ts';
import { type ParameterSlot, parameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer, FileOrder } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { createSchedule } from '../schedules/index.ts';
import { createTrainingState, stateBuffers, type TrainingState } from '../training/training-state.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { loadParameters, readPipelineFolder, writeParameters, writePipelineFolder } from './diffusers.ts';
import { fileOperation } from './file-errors.ts';
import { openSafetensors, type SafetensorsFile, type SafetensorsSource, writeSafetensors } from './safetensors.ts';
import type { SchedulerDescription, SchedulerScheduleName } from './scheduler-config.ts';

const STATE_NAME = 'state.safetensors';
const STATE_FORMAT = 'diffuse state 1';
const CLASSES_NAME = 'classes.json';

/** What {@link saveRun} writes. */
export interface SaveRunOptions {
  readonly model: UNet2D;
  readonly diffusion: Diffusion;
  /** State of the training, from `training.state`. */
  readonly state: TrainingState;
  /** Fingerprint of the data; a resumed run must have the same. */
  readonly fingerprint: string;
  readonly seed: number;
  /** Names of the classes of a conditional model. */
  readonly classNames?: readonly string[] | undefined;
}

/**
 * Saves a training run: `state.safetensors`, from which training resumes exactly, and the folder of a diffusers pipeline
 * (`model_index.json`, `unet/`, `unet_ema/`, `scheduler/`), which Python loads as it is.
 *
 * Every file is replaced as a whole and durably (see `withAtomicFile`), the state first: whenever the process is killed, the folder
 * holds one complete state, and weights that are those of this checkpoint or of the one before.
 *
 * @throws `ERR_CHECKPOINT` naming the file that could not be written.
 */
export async function saveRun(directory: string, options: SaveRunOptions): Promise<void> {
  const { model, diffusion, state, classNames } = options;
  await state.ready;
  await fileOperation('create', directory, () => mkdir(directory, { recursive: true }));
  await writeState(join(directory, STATE_NAME), options);
  const scheduler = describeScheduler(diffusion);
  const { weights } = state;
  const paths = await writePipelineFolder(directory, {
    unetConfig: model.config,
    scheduler,
    ema: weights.ema !== undefined,
  });
  const write = (path: string, buffer: DeviceBuffer): Promise<void> =>
    writeParameters(path, weights.table.slots, (parameter) =>
      readSlot(buffer, parameter as ParameterSlot, fileOrder(parameter)),
    );
  await write(paths.weightsPath, weights.parameters);
  if (weights.ema) await write(paths.emaWeightsPath, weights.ema);
  if (classNames) await writeFileAtomic(join(directory, CLASSES_NAME), `${JSON.stringify(classNames, undefined, 2)}\n`);
}

/** A model that was loaded from a folder. */
export interface LoadedRun {
  /** With its weights on the device. */
  readonly model: UNet2D;
  readonly diffusion: Diffusion;
  /** Names of the classes, where the run has them. */
  readonly classNames: readonly string[] | undefined;
  /** What the scheduler's configuration says beside the schedule: default sampler, variance, clipping, spacing. */
  readonly scheduler: SchedulerDescription;
}

/** Options of {@link loadRun}. */
export interface LoadRunOptions {
  readonly device: Device;
  /** Load the average of the weights where the folder has one; false: the weights as trained. */
  readonly ema?: boolean;
}

/**
 * Loads a model to sample from: a run of ours or any diffusers pipeline of a `UNet2DModel`. Only the weights asked for are read.
 *
 * @throws `ERR_CHECKPOINT` naming the file and what is wrong with it, `ERR_OUT_OF_MEMORY`.
 */
export async function loadRun(directory: string, { device, ema = true }: LoadRunOptions): Promise<LoadedRun> {
  const { unetConfig, scheduler, weightsPath, emaWeightsPath } = await readPipelineFolder(directory);
  const model = UNet2D.fromConfig(unetConfig);
  const table = parameterTable(model.parameters);
  const buffer = device.allocate(table.size * 4);
  const path = (ema ? emaWeightsPath : undefined) ?? weightsPath;
  await loadParameters(path, table.slots, buffer);
  model.weights = { device, table, parameters: buffer, ema: undefined };
  const { name, steps, parameters: numbers } = scheduler.schedule;
  const schedule = createSchedule(name, { steps, ...numbers });
  const diffusion = gaussianDiffusion({ schedule, predict: scheduler.predict });
  return { model, diffusion, scheduler, classNames: await readClassNames(join(directory, CLASSES_NAME)) };
}

/**
 * Loads the state of a training run, for `train({ resume })`.
 *
 * @param ema whether the run keeps an average of the weights; must be as it was.
 * @throws `ERR_CHECKPOINT` when the file is damaged, or was made with another model, seed or data.
 */
export async function loadTrainingState(
  directory: string,
  options: { device: Device; model: UNet2D; ema: boolean; fingerprint: string; seed: number },
): Promise<TrainingState> {
  const { device, model, ema, fingerprint, seed } = options;
  await using file = await openSafetensors(join(directory, STATE_NAME));
  const step = checkState(file, { fingerprint, seed });
  model.weights = undefined;
  const state = createTrainingState(model, device, { seed, ema });
  await state.ready;
  const slots = state.weights.table.slots;
  const expected = Object.entries(stateBuffers(state)).flatMap(([name, buffer]) =>
    slots.map((slot) => ({ key: `${name}.${slot.name}`, slot, buffer })),
  );
  if (expected.length !== file.tensors.size) {
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
  state.step = step;
  return state;
}

async function writeState(path: string, { state, fingerprint, seed }: SaveRunOptions): Promise<void> {
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
  await writeSafetensors(path, tensors, {
    format: STATE_FORMAT,
    step: String(state.step),
    seed: String(seed),
    fingerprint,
  });
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

function readSlot(buffer: DeviceBuffer, slot: ParameterSlot, order?: FileOrder): Promise<Float32Array> {
  return buffer.read(slot.offset, parameterSize(slot), order);
}

function describeScheduler({ schedule, predict }: Diffusion): SchedulerDescription {
  const { name, steps, parameters } = schedule;
  return {
    sampler: 'ddpm',
    schedule: { name: name as SchedulerScheduleName, steps, parameters },
    predict: predict as SchedulerDescription['predict'],
    variance: 'fixed-small',
    clip: 1,
    spacing: 'leading',
    stepsOffset: 0,
    setAlphaToOne: true,
  };
}

async function readClassNames(path: string): Promise<readonly string[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return undefined; // only runs of conditional models have the file
  }
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  } catch {
    // reported below
  }
  throw new DiffuseError('ERR_CHECKPOINT', `${path}: expected a JSON list of class names`);
}
