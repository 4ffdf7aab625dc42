import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord, show } from '../config/value-rules.ts';
import { fileOrder, fileShape, type ParameterLayout } from '../models/parameter-layout.ts';
import {
  configFromDiffusers,
  configToDiffusers,
  DIFFUSERS_VERSION,
  type UNet2DConfig,
} from '../models/unet2d-config.ts';
import type { ParameterSlot } from '../models/weights.ts';
import type { DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { fileOperation } from './file-errors.ts';
import { readJson, writeJson } from './json-file.ts';
import { openSafetensors, type SafetensorsFile, writeSafetensors } from './safetensors.ts';
import { type SchedulerDescription, schedulerFromDiffusers, schedulerToDiffusers } from './scheduler-config.ts';

export {
  fileOrder,
  fileShape,
  type ParameterLayout,
  parameterSize,
} from '../models/parameter-layout.ts';
export { unet2dParameters } from '../models/unet2d-parameters.ts';
export {
  describeSchedule,
  type ScheduleDescription,
  type SchedulerDescription,
  type SchedulerScheduleName,
  scheduleFromDescription,
  schedulerFromDiffusers,
  schedulerToDiffusers,
} from './scheduler-config.ts';

/** Name of the weights in every folder that diffusers writes. */
const WEIGHTS_NAME = 'diffusion_pytorch_model.safetensors';

/** Weights on their way to the device at one time: most are small, and what they cost is the wait. */
const LOAD_AHEAD = 8;

/** The configuration of a scheduler may list a beta for each of a million timesteps. */
const MAX_SCHEDULER_BYTES = 2 ** 25;

/** What a pipeline folder holds. */
export interface PipelineFolder {
  readonly unetConfig: UNet2DConfig;
  readonly scheduler: SchedulerDescription;
  /** The file of the network's weights. */
  readonly weightsPath: string;
  /** The file of the averaged weights, where the folder has `unet_ema/`. */
  readonly emaWeightsPath?: string;
}

/** Where {@link writePipelineFolder} wants the weights. */
export interface PipelinePaths {
  readonly weightsPath: string;
  readonly emaWeightsPath: string;
}

/**
 * Reads the configurations of a `DDPMPipeline` or `DDIMPipeline` folder of diffusers and finds its weights: the layout
 * with `unet/` and `scheduler/`, or that of early repositories, which have `config.json`, `scheduler_config.json` and the
 * weights side by side. The weights themselves are not opened.
 *
 * @param directory the folder.
 * @throws DiffuseError `ERR_CHECKPOINT` naming the file that is missing, unreadable or not supported. Weights that exist
 * only as a Python pickle (`.bin`) are refused, because reading one can run any code.
 */
export async function readPipelineFolder(directory: string): Promise<PipelineFolder> {
  const status = await fileOperation('open', directory, () => stat(directory));
  if (!status.isDirectory())
    throw checkpointError(`${directory} is not a folder; expected a diffusers pipeline folder`);
  const unetDirectory = (await exists(join(directory, 'unet', 'config.json'))) ? join(directory, 'unet') : directory;
  const configPath = join(unetDirectory, 'config.json');
  if (!(await exists(configPath))) {
    const expected = 'unet/config.json (a diffusers pipeline) or config.json (an early one)';
    throw checkpointError(`${directory} is not a pipeline folder: it has neither ${expected}`);
  }
  await checkModelIndex(join(directory, 'model_index.json'));

  const unetConfig = configFromDiffusers(await readJson(configPath), configPath);
  const schedulerPath = await findScheduler(directory);
  const scheduler = schedulerFromDiffusers(await readJson(schedulerPath, MAX_SCHEDULER_BYTES), schedulerPath);
  const weightsPath = await findWeights(unetDirectory);

  const emaDirectory = join(directory, 'unet_ema');
  if (!(await exists(emaDirectory))) return { unetConfig, scheduler, weightsPath };
  await checkSameNetwork(join(emaDirectory, 'config.json'), unetConfig);
  return { unetConfig, scheduler, weightsPath, emaWeightsPath: await findWeights(emaDirectory) };
}

/**
 * Writes the configurations of a `DDPMPipeline` folder, so that `DDPMPipeline.from_pretrained` of diffusers loads it once
 * the weights are there ({@link writeParameters}): `model_index.json`, `unet/config.json` and
 * `scheduler/scheduler_config.json`, each whole or not at all. Folders are created as needed.
 *
 * @param directory the folder.
 * @param pipeline configurations; with `ema`, `unet_ema/config.json` is written too.
 * @returns where the weights belong; their folders exist.
 * @throws DiffuseError `ERR_CHECKPOINT` when the system refuses, `ERR_ARGUMENT` as {@link schedulerToDiffusers}.
 */
export async function writePipelineFolder(
  directory: string,
  { unetConfig, scheduler, ema = false }: { unetConfig: UNet2DConfig; scheduler: SchedulerDescription; ema?: boolean },
): Promise<PipelinePaths> {
  const schedulerConfig = schedulerToDiffusers(scheduler);
  const config = configToDiffusers(unetConfig);
  const index = {
    _class_name: scheduler.sampler === 'ddim' ? 'DDIMPipeline' : 'DDPMPipeline',
    _diffusers_version: DIFFUSERS_VERSION,
    scheduler: ['diffusers', schedulerConfig._class_name],
    unet: ['diffusers', 'UNet2DModel'],
  };
  for (const folder of ema ? ['unet', 'unet_ema', 'scheduler'] : ['unet', 'scheduler']) {
    const path = join(directory, folder);
    await fileOperation('create', path, () => mkdir(path, { recursive: true }));
  }
  await writeJson(join(directory, 'unet', 'config.json'), config);
  if (ema) await writeJson(join(directory, 'unet_ema', 'config.json'), config);
  await writeJson(join(directory, 'scheduler', 'scheduler_config.json'), schedulerConfig);
  await writeJson(join(directory, 'model_index.json'), index);
  return {
    weightsPath: join(directory, 'unet', WEIGHTS_NAME),
    emaWeightsPath: join(directory, 'unet_ema', WEIGHTS_NAME),
  };
}

/**
 * Loads weights into a device buffer. Names of early files (`query`, `key`, `value`, `proj_attn` in attention) are understood,
 * half precision is widened. Before the first weight is read, names and shapes of all of them have been checked.
 *
 * @param path a safetensors file.
 * @param slots what the file must hold, neither less nor more, and where it goes.
 * @throws DiffuseError `ERR_CHECKPOINT` naming the file and what does not fit.
 */
export async function loadParameters(
  path: string,
  slots: readonly ParameterSlot[],
  buffer: DeviceBuffer,
): Promise<void> {
  const file = await openSafetensors(path);
  // The device's thread takes one weight after the other; a few wait, so that it never does.
  const loading = new Set<Promise<void>>();
  try {
    const keys = matchParameters(file, slots);
    for (const slot of slots) {
      const place = { offset: slot.offset, order: fileOrder(slot) };
      const load = file.loadFloat32(keys.get(slot.name) as string, buffer, place).finally(() => loading.delete(load));
      loading.add(load);
      if (loading.size >= LOAD_AHEAD) await Promise.race(loading);
    }
    await Promise.all(loading);
  } finally {
    await Promise.allSettled(loading);
    await file.close();
  }
}

/**
 * Writes weights as diffusers does: float32, one parameter at a time, the file whole or not at all.
 *
 * @param path file to create or replace; its directory must exist.
 * @param parameters what to write, in this order.
 * @param valuesOf the values of a parameter in the order of the file; called once for each, in order.
 * @throws DiffuseError `ERR_CHECKPOINT` when the system refuses, `ERR_SHAPE` for another number of values.
 */
export async function writeParameters(
  path: string,
  parameters: readonly ParameterLayout[],
  valuesOf: (parameter: ParameterLayout) => Float32Array | Promise<Float32Array>,
): Promise<void> {
  const tensors = parameters.map((parameter) => ({
    name: parameter.name,
    dtype: 'F32' as const,
    shape: fileShape(parameter),
    data: () => valuesOf(parameter),
  }));
  await writeSafetensors(path, tensors, { format: 'pt' });
}

/** The key in the file for each parameter; throws unless names and shapes agree one to one. */
function matchParameters(file: SafetensorsFile, parameters: readonly ParameterLayout[]): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const key of file.tensors.keys()) {
    const name = currentName(key);
    if (keys.has(name)) throw checkpointError(`${file.path}: ${keys.get(name)} and ${key} are the same parameter`);
    keys.set(name, key);
  }
  const missing = parameters.filter(({ name }) => !keys.has(name)).map(({ name }) => name);
  if (missing.length > 0) throw checkpointError(`${file.path}: lacks ${some(missing)} of the network in config.json`);
  const wanted = new Set(parameters.map(({ name }) => name));
  const surplus = [...keys].filter(([name]) => !wanted.has(name)).map(([, key]) => key);
  if (surplus.length > 0) {
    throw checkpointError(`${file.path}: has ${some(surplus)} that the network in config.json does not have`);
  }
  for (const parameter of parameters) {
    const key = keys.get(parameter.name) as string;
    const found = file.tensors.get(key)?.shape.join(', ');
    const expected = fileShape(parameter).join(', ');
    if (found !== expected) {
      throw checkpointError(`${file.path}: ${key} is [${found}]; the network in config.json needs [${expected}]`);
    }
  }
  return keys;
}

/** Attention had other names in early versions of diffusers, which still renames them on load as well. */
function currentName(key: string): string {
  const names: Readonly<Record<string, string>> = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' };
  return key.replace(
    /(\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)$/,
    (_, block: string, old: string, kind: string) => `${block}.${names[old]}.${kind}`,
  );
}

/** Up to three names and how many more there are. */
function some(names: readonly string[]): string {
  const rest = names.length - 3;
  return names.slice(0, 3).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

async function checkModelIndex(path: string): Promise<void> {
  if (!(await exists(path))) return;
  const index = await readJson(path);
  const unet = isRecord(index) ? index.unet : undefined;
  if (!Array.isArray(unet) || unet[1] !== 'UNet2DModel') {
    throw checkpointError(`${path}: unet is ${show(unet)}; expected ["diffusers", "UNet2DModel"]`);
  }
}

async function findScheduler(directory: string): Promise<string> {
  const candidates = [join('scheduler', 'scheduler_config.json'), 'scheduler_config.json'];
  for (const candidate of candidates) {
    const path = join(directory, candidate);
    if (await exists(path)) return path;
  }
  throw checkpointError(`${directory} has no noise schedule; expected ${candidates.join(' or ')}`);
}

async function findWeights(directory: string): Promise<string> {
  const path = join(directory, WEIGHTS_NAME);
  if (await exists(path)) return path;
  if (await exists(`${path}.index.json`)) {
    throw checkpointError(`${directory}: the weights are split into shards; expected one file ${WEIGHTS_NAME}`);
  }
  const pickle = join(directory, 'diffusion_pytorch_model.bin');
  if (await exists(pickle)) {
    const advice = 'convert it in Python: UNet2DModel.from_pretrained(folder).save_pretrained(folder)';
    throw checkpointError(
      `${pickle} is a Python pickle, which can run any code when it is read, so it is refused; ${advice}`,
    );
  }
  throw checkpointError(`${directory} has no weights; expected ${WEIGHTS_NAME}`);
}

/** Averaged weights must be of the same network, else the wrong shapes would be blamed on the weights. */
async function checkSameNetwork(path: string, unetConfig: UNet2DConfig): Promise<void> {
  if (!(await exists(path))) return;
  const expected = configToDiffusers(unetConfig);
  const found = configToDiffusers(configFromDiffusers(await readJson(path), path));
  const key = Object.keys(expected).find((name) => JSON.stringify(found[name]) !== JSON.stringify(expected[name]));
  if (key !== undefined) {
    throw checkpointError(
      `${path}: ${key} is ${show(found[key])}; expected ${show(expected[key])}, as that of the U-Net`,
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function checkpointError(problem: string): DiffuseError {
  return new DiffuseError('ERR_CHECKPOINT', problem);
}
