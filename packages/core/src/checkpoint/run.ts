import { mkdir } from 'node:fs/promises';
import { type Diffusion, gaussianDiffusion } from '../diffusion/gaussian.ts';
import { type TargetName, targets } from '../diffusion/targets.ts';
import { fileOrder } from '../models/parameter-layout.ts';
import { UNet2D } from '../models/unet2d.ts';
import { type ParameterSlot, parameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { readClassNames, writeClassNames } from './class-names.ts';
import { loadParameters, readPipelineFolder, writeParameters, writePipelineFolder } from './diffusers.ts';
import { fileOperation } from './file-errors.ts';
import { describeSchedule, scheduleFromDescription } from './schedule-config.ts';
import type { SchedulerDescription } from './scheduler-config.ts';
import { readSlot, type StateOptions, writeState } from './state-file.ts';

export { loadTrainingState } from './state-file.ts';

/** What {@link saveRun} writes. */
export interface SaveRunOptions extends StateOptions {
  readonly model: UNet2D;
  readonly diffusion: Diffusion;
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
  await writeState(directory, options);
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
  if (classNames) await writeClassNames(directory, classNames);
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
  const schedule = scheduleFromDescription(scheduler.schedule);
  const diffusion = gaussianDiffusion({ schedule, predict: scheduler.predict });
  return { model, diffusion, scheduler, classNames: await readClassNames(directory) };
}

/** @throws DiffuseError `ERR_ARGUMENT` for a target of one's own, which a file has no name for. */
function describeScheduler({ schedule, prediction }: Diffusion): SchedulerDescription {
  const predict = (Object.keys(targets) as TargetName[]).find((name) => targets[name] === prediction);
  if (!predict) {
    const known = Object.keys(targets).join(', ');
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `a run can be saved that predicts one of ${known}; not a target of one's own`,
    );
  }
  return {
    sampler: 'ddpm',
    schedule: describeSchedule(schedule),
    predict,
    variance: 'fixed-small',
    clip: 1,
    spacing: 'leading',
    stepsOffset: 0,
    setAlphaToOne: true,
  };
}
