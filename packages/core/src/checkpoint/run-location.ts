import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord, show } from '../config/value-rules.ts';
import { DiffuseError } from '../native/errors.ts';
import { fileOperation } from './file-errors.ts';
import { readJson } from './json-file.ts';
import { type ModelFormat, type ModelKind, modelFormats, type SavedModel } from './model-kinds.ts';

/** What a folder can hold: a model of one kind, or a U-Net and the autoencoder whose latents it draws. */
export type RunKind = ModelKind | 'latent';

/** Where a run's network lies and what it is. */
export interface RunLocation {
  readonly kind: RunKind;
  readonly modelKind: ModelKind;
  /** The folder of its `config.json`. */
  readonly folder: string;
}

type Component = ModelFormat<SavedModel>['folder'];

/** The folders that networks lie in; an autoencoder beside a U-Net is its decoder. */
const components: readonly Component[] = ['unet', 'model', 'vae'];

const kinds = Object.keys(modelFormats) as readonly ModelKind[];

/** Those that early runs have in the folder of the run itself. */
const earlyKinds: readonly ModelKind[] = ['unet2d', 'classifier'];

/** How a model of any kind is written and read. */
export function formatOf(kind: ModelKind): ModelFormat<SavedModel> {
  return modelFormats[kind] as unknown as ModelFormat<SavedModel>;
}

/** What a run of a kind is, for people, to follow "holds". */
export function runTitle(kind: RunKind): string {
  return kind === 'latent' ? 'a latent diffusion of images' : modelFormats[kind].title;
}

/**
 * Finds the network of a run: by `model_index.json` or, where there is none, by the configurations that are there.
 *
 * @throws DiffuseError `ERR_CHECKPOINT` when the folder is no run, or one of a network that diffuse does not know.
 */
export async function locateRun(directory: string): Promise<RunLocation> {
  const status = await fileOperation('open', directory, () => stat(directory));
  if (!status.isDirectory()) throw checkpointError(`${directory} is not a folder; expected that of a run`);
  const found = await componentsOf(directory);
  const [[name, choices] = []] = found;
  const folder = name && (await exists(join(directory, name, 'config.json'))) ? join(directory, name) : directory;
  const path = join(folder, 'config.json');
  if (!(await exists(path))) {
    const files =
      'unet/config.json, model/config.json, vae/config.json (a run or a diffusers pipeline) or config.json (an early one)';
    throw checkpointError(`${directory} is not the folder of a run: it has none of ${files}`);
  }
  const modelKind = kindOf(await readJson(path), path, (folder === directory ? undefined : choices) ?? earlyKinds);
  const isLatent = name === 'unet' && found.has('vae');
  return { kind: isLatent ? 'latent' : modelKind, modelKind, folder };
}

/** The file of the weights in the folder of a network. @throws DiffuseError `ERR_CHECKPOINT` when there is none that is read. */
export async function findWeights(folder: string, format: ModelFormat<SavedModel>): Promise<string> {
  const { weightsName, earlyWeights, library } = format;
  for (const name of [weightsName, ...(earlyWeights ? [earlyWeights.weights] : [])]) {
    const path = join(folder, name);
    if (await exists(path)) return path;
  }
  if (library === 'diffusers') await refuseOtherWeights(folder, weightsName);
  throw checkpointError(`${folder} has no weights; expected ${weightsName}`);
}

/** Whether there is a file or folder of that name. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** What is wrong with a file. */
export function checkpointError(problem: string): DiffuseError {
  return new DiffuseError('ERR_CHECKPOINT', problem);
}

/** The components of a run, the network first, each with the kinds that it can be of. */
async function componentsOf(directory: string): Promise<ReadonlyMap<Component, readonly ModelKind[]>> {
  const path = join(directory, 'model_index.json');
  if (await exists(path)) return componentsIn(await readJson(path), path);
  const there = await Promise.all(components.map((name) => exists(join(directory, name, 'config.json'))));
  return new Map(components.filter((_, i) => there[i]).map((name) => [name, kindsIn(name)]));
}

/** The components that `model_index.json` names. @throws where the network is of a class that diffuse does not know. */
function componentsIn(index: unknown, path: string): ReadonlyMap<Component, readonly ModelKind[]> {
  const entries: Readonly<Record<string, unknown>> = isRecord(index) ? index : {};
  const found = components.filter((name) => Object.hasOwn(entries, name));
  const [network = 'unet'] = found;
  const entry = entries[network];
  const known = kindsIn(network);
  const named = known.filter((kind) => Array.isArray(entry) && formatOf(kind).className === entry[1]);
  if (named.length === 0) {
    const choices = known.map(formatOf).map(({ library, className }) => `["${library}", "${className}"]`);
    throw checkpointError(`${path}: ${network} is ${show(entry)}; expected ${choices.join(' or ')}`);
  }
  return new Map(found.map((name) => [name, name === network ? named : kindsIn(name)]));
}

function kindsIn(component: Component): readonly ModelKind[] {
  return kinds.filter((kind) => formatOf(kind).folder === component);
}

/** The kind that a configuration says it is; that of a U-Net need not say it. */
function kindOf(json: unknown, path: string, choices: readonly ModelKind[]): ModelKind {
  const className = isRecord(json) ? json._class_name : undefined;
  const kind = choices.find((choice) => formatOf(choice).className === (className ?? modelFormats.unet2d.className));
  if (kind !== undefined) return kind;
  const names = choices.map((choice) => `"${formatOf(choice).className}"`).join(' or ');
  throw checkpointError(`${path}: _class_name is ${show(className)}; expected ${names}`);
}

/** Says it where the weights are there in a form that is not read. */
async function refuseOtherWeights(folder: string, weightsName: string): Promise<void> {
  if (await exists(join(folder, `${weightsName}.index.json`))) {
    throw checkpointError(`${folder}: the weights are split into shards; expected one file ${weightsName}`);
  }
  const pickle = join(folder, weightsName.replace('.safetensors', '.bin'));
  if (!(await exists(pickle))) return;
  const advice = 'convert it in Python: UNet2DModel.from_pretrained(folder).save_pretrained(folder)';
  throw checkpointError(
    `${pickle} is a Python pickle, which can run any code when it is read, so it is refused; ${advice}`,
  );
}
