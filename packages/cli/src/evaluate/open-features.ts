import { existsSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  classifierFeatures,
  type Device,
  type FeatureNetwork,
  loadRun,
  type OnnxImageOptions,
  type OnnxRuntime,
  onnxFeatures,
  openClassifier,
} from '@diffuse/core';
import { messageOf, usageError } from '../failure.ts';
import { didYouMean } from '../settings/suggest.ts';

/** A feature network and what is to be done with it in the end. */
export interface OpenFeatures {
  readonly network: FeatureNetwork;
  close(): Promise<void>;
}

/** Loads the runtime of ONNX networks. */
export type LoadOnnxRuntime = () => Promise<OnnxRuntime>;

const runtimePackage = 'onnxruntime-node';

/**
 * Finds the runtime where the user has installed it, for diffuse does not depend on it: it is hundreds of megabytes that most never
 * need.
 *
 * @throws Failure that tells how to install it.
 */
export const loadOnnxRuntime: LoadOnnxRuntime = async () => {
  let path: string;
  try {
    path = createRequire(join(process.cwd(), 'package.json')).resolve(runtimePackage);
  } catch (cause) {
    throw usageError(
      `--features: an .onnx file needs the package ${runtimePackage}, which is not installed here; ` +
        `run npm install ${runtimePackage}`,
      { cause },
    );
  }
  const loaded = (await import(pathToFileURL(path).href)) as OnnxRuntime & { default?: OnnxRuntime };
  return loaded.default ?? loaded;
};

/**
 * Opens the feature network that `--features` names: the folder of a classifier, or an `.onnx` file. Beside `net.onnx`,
 * `net.onnx.json` says how it wants its images (see `OnnxImageOptions`).
 *
 * @param device for a classifier.
 * @throws Failure, DiffuseError `ERR_DATA`, `ERR_ARGUMENT`, `ERR_OUT_OF_MEMORY`.
 */
export async function openFeatures(
  path: string,
  { device, loadRuntime = loadOnnxRuntime }: { readonly device: Device; readonly loadRuntime?: LoadOnnxRuntime },
): Promise<OpenFeatures> {
  const status = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') throw usageError(`--features: there is no file or folder ${path}`, { cause });
    throw usageError(`--features: cannot open ${path}: ${cause.message}`, { cause });
  });
  if (status.isDirectory()) return openClassifierFolder(path, device);
  if (!path.toLowerCase().endsWith('.onnx')) {
    throw usageError(`--features: ${path} must be the folder of a classifier or an .onnx file`);
  }
  const options = readImageOptions(`${path}.json`);
  const network = await onnxFeatures({ ...options, runtime: await loadRuntime(), path });
  return { network, close: () => network.close() };
}

async function openClassifierFolder(path: string, device: Device): Promise<OpenFeatures> {
  const { model } = await loadRun(path, { device, kind: 'classifier' }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 'ERR_CHECKPOINT') throw error;
    throw usageError(`--features: ${messageOf(error)}`, { cause: error });
  });
  const session = openClassifier(model, device);
  return {
    network: classifierFeatures({ name: basename(resolve(path)), model, session }),
    close: async () => session.dispose(),
  };
}

const optionNames: readonly (keyof OnnxImageOptions)[] = [
  'input',
  'layout',
  'range',
  'mean',
  'std',
  'features',
  'probabilities',
  'logits',
];

function readImageOptions(path: string): OnnxImageOptions {
  if (!existsSync(path)) return {};
  let options: unknown;
  try {
    options = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw usageError(`--features: ${path} is not valid JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw usageError(`--features: ${path} must hold an object with ${optionNames.join(', ')}`);
  }
  const unknown = Object.keys(options).find((name) => !optionNames.includes(name as keyof OnnxImageOptions));
  if (unknown !== undefined) {
    throw usageError(`--features: ${path}: there is no option '${unknown}'${didYouMean(unknown, optionNames)}`);
  }
  return options;
}
