import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isRecord, number, show } from '../config/value-rules.ts';
import type { DiscreteDiffusion } from '../discrete/discrete-diffusion.ts';
import type { Autoencoder } from '../models/autoencoder.ts';
import { DIFFUSERS_VERSION } from '../models/unet2d-config.ts';
import { discreteFromJson, discreteToJson } from './discrete-config.ts';
import { fileOperation } from './file-errors.ts';
import { readJson, writeJson } from './json-file.ts';
import { type ModelFormat, modelFormats, type SavedModel } from './model-kinds.ts';
import { checkpointError, exists, findWeights, formatOf, locateRun, type RunKind, runTitle } from './run-location.ts';
import { type SchedulerDescription, schedulerFromDiffusers, schedulerToDiffusers } from './scheduler-config.ts';

/** The configurations of a run. */
export interface RunFolder {
  readonly kind: RunKind;
  /** Made of its configuration, without weights. */
  readonly model: SavedModel;
  /** The file of its weights. */
  readonly weightsPath: string;
  /** The file of the averaged weights, where the run has them. */
  readonly emaWeightsPath?: string;
  /** How noise comes in, of models that take Gaussian noise away. */
  readonly scheduler?: SchedulerDescription;
  /** How tokens are lost, of models that find them. */
  readonly discrete?: DiscreteDiffusion;
  /** What makes images of the latents that the model draws. */
  readonly decoder?: { readonly model: Autoencoder; readonly scale: number; readonly weightsPath: string };
}

/** What {@link writeRunFolder} writes. */
export interface RunConfigs extends Pick<RunFolder, 'model' | 'scheduler' | 'discrete'> {
  readonly decoder?: { readonly model: Autoencoder; readonly scale: number };
  /** Make the folder of averaged weights too. */
  readonly ema?: boolean;
}

/** Where {@link writeRunFolder} wants the weights. */
export interface RunPaths {
  readonly weightsPath: string;
  readonly emaWeightsPath: string;
  readonly decoderPath: string;
}

/** A scheduler's configuration may list a beta for each of a million timesteps. */
const MAX_SCHEDULER_BYTES = 2 ** 25;

/** Stands in the configuration of an autoencoder whose latents are diffused, as in diffusers. */
const SCALE_KEY = 'scaling_factor';

const positive = number('a number above 0', (value) => value > 0);

/**
 * Reads the configurations of a run and finds its weights, which are not opened: a run of any kind, a `DDPMPipeline` or `DDIMPipeline`
 * folder of diffusers, or one of early repositories, which have `config.json`, `scheduler_config.json` and the weights side by side.
 *
 * @param expected refuse other kinds before anything else is read.
 * @throws DiffuseError `ERR_CHECKPOINT` naming the file that is missing, unreadable or not supported. Weights that exist
 * only as a Python pickle (`.bin`) are refused, because reading one can run any code.
 */
export async function readRunFolder(directory: string, expected?: RunKind): Promise<RunFolder> {
  const { kind, modelKind, folder } = await locateRun(directory);
  if (expected !== undefined && kind !== expected) {
    throw checkpointError(
      `${directory} holds ${runTitle(kind)}, of kind '${kind}'; expected ${runTitle(expected)}, of kind '${expected}'`,
    );
  }
  const format = formatOf(modelKind);
  const configPath = join(folder, 'config.json');
  const model = format.fromJson(await readJson(configPath), configPath);
  const process = await readProcess(directory, model);
  const weightsPath = await findWeights(folder, format);
  const emaWeightsPath = await findAverage(directory, { format, model, configPath });
  return {
    kind,
    model,
    ...process,
    weightsPath,
    ...(emaWeightsPath !== undefined && { emaWeightsPath }),
    ...(kind === 'latent' && { decoder: await readDecoder(directory, model) }),
  };
}

/**
 * Writes the configurations of a run, each whole or not at all, `model_index.json` last; folders are created as needed. That of a U-Net
 * for images is a `DDPMPipeline` folder, which diffusers loads once the weights are there.
 *
 * @returns where the weights belong; their folders exist.
 * @throws DiffuseError `ERR_CHECKPOINT` when the system refuses, `ERR_ARGUMENT` for what a file has no words for.
 */
export async function writeRunFolder(directory: string, configs: RunConfigs): Promise<RunPaths> {
  const { model, scheduler, discrete, decoder, ema = false } = configs;
  const { folder, weightsName, toJson } = formatOf(model.kind);
  const { autoencoder } = modelFormats;
  const config = toJson(model.config);
  const files: [folder: string, name: string, content: Record<string, unknown>][] = [[folder, 'config.json', config]];
  if (ema) files.push([`${folder}_ema`, 'config.json', config]);
  const process = scheduler ? schedulerToDiffusers(scheduler) : discrete && discreteToJson(discrete);
  if (process) files.push(['scheduler', 'scheduler_config.json', process]);
  if (decoder) {
    const { model: coder, scale } = decoder;
    files.push(['vae', 'config.json', { ...autoencoder.toJson(coder.config), [SCALE_KEY]: scale }]);
  }
  for (const [name, file, content] of files) {
    const path = join(directory, name);
    await fileOperation('create', path, () => mkdir(path, { recursive: true }));
    await writeJson(join(path, file), content);
  }
  await writeJson(join(directory, 'model_index.json'), indexOf(configs, process));
  return {
    weightsPath: join(directory, folder, weightsName),
    emaWeightsPath: join(directory, `${folder}_ema`, weightsName),
    decoderPath: join(directory, 'vae', autoencoder.weightsName),
  };
}

/** The content of `model_index.json`: each part with the library and the class that it is of. */
function indexOf({ model, scheduler, decoder }: RunConfigs, process: Record<string, unknown> | undefined): object {
  const { folder, library, className } = formatOf(model.kind);
  const parts = {
    ...(process && { scheduler: [scheduler ? 'diffusers' : 'diffuse', process._class_name] }),
    [folder]: [library, className],
  };
  if (library === 'diffusers' && !decoder) {
    const pipeline = scheduler?.sampler === 'ddim' ? 'DDIMPipeline' : 'DDPMPipeline';
    return { _class_name: pipeline, _diffusers_version: DIFFUSERS_VERSION, ...parts };
  }
  const { library: ours, className: coder } = modelFormats.autoencoder;
  return { _class_name: 'DiffuseRun', ...parts, ...(decoder && { vae: [ours, coder] }) };
}

/** What the model was trained to reverse. */
async function readProcess(directory: string, model: SavedModel): Promise<Pick<RunFolder, 'scheduler' | 'discrete'>> {
  const { scheduler } = formatOf(model.kind);
  if (scheduler === null) return {};
  const path = await findScheduler(directory);
  const json = await readJson(path, MAX_SCHEDULER_BYTES);
  if (model.kind !== 'token-unet') return { scheduler: schedulerFromDiffusers(json, path) };
  const discrete = discreteFromJson(json, path);
  for (const name of ['tokens', 'states'] as const) {
    if (discrete[name] === model.config[name]) continue;
    throw checkpointError(`${path}: makes ${discrete[name]} ${name}; the model beside it has ${model.config[name]}`);
  }
  return { discrete };
}

async function findScheduler(directory: string): Promise<string> {
  const candidates = [join('scheduler', 'scheduler_config.json'), 'scheduler_config.json'];
  for (const candidate of candidates) {
    const path = join(directory, candidate);
    if (await exists(path)) return path;
  }
  throw checkpointError(`${directory} has no noise schedule; expected ${candidates.join(' or ')}`);
}

async function readDecoder(directory: string, unet: SavedModel): Promise<NonNullable<RunFolder['decoder']>> {
  const format = modelFormats.autoencoder;
  const path = join(directory, 'vae', 'config.json');
  const json = await readJson(path);
  const { [SCALE_KEY]: scale, ...config } = isRecord(json) ? json : {};
  const model = format.fromJson(config, path);
  if (!positive.accepts(scale)) {
    throw checkpointError(`${path}: ${SCALE_KEY} is ${show(scale)}; expected ${positive.expected}`);
  }
  if (model.latentShape.join() !== unet.shape.join()) {
    const latents = `makes latents of [${model.latentShape.join(', ')}]`;
    throw checkpointError(`${path}: ${latents}; the U-Net beside it draws [${unet.shape.join(', ')}]`);
  }
  return { model, scale, weightsPath: await findWeights(join(directory, 'vae'), formatOf('autoencoder')) };
}

/** A network whose averaged weights are looked for. */
interface Averaged {
  readonly format: ModelFormat<SavedModel>;
  readonly model: SavedModel;
  readonly configPath: string;
}

/** The averaged weights: in a folder of their own or, of early classifiers, in a file beside the others. */
async function findAverage(directory: string, averaged: Averaged): Promise<string | undefined> {
  const { format, configPath } = averaged;
  const folder = join(directory, `${format.folder}_ema`);
  if (await exists(folder)) {
    await checkSameNetwork(join(folder, 'config.json'), averaged, relative(directory, configPath));
    return findWeights(folder, format);
  }
  if (!format.earlyWeights || configPath !== join(directory, 'config.json')) return undefined;
  const early = join(directory, format.earlyWeights.average);
  return (await exists(early)) ? early : undefined;
}

/** Averaged weights must be of the same network, else the wrong shapes would be blamed on the weights. */
async function checkSameNetwork(path: string, { format, model }: Averaged, original: string): Promise<void> {
  if (!(await exists(path))) return;
  const expected = format.toJson(model.config);
  const found = format.toJson(format.fromJson(await readJson(path), path).config);
  const key = Object.keys(expected).find((name) => JSON.stringify(found[name]) !== JSON.stringify(expected[name]));
  if (key === undefined) return;
  throw checkpointError(`${path}: ${key} is ${show(found[key])}; expected ${show(expected[key])}, as in ${original}`);
}
