import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Classifier, classifierFromJson, classifierToJson } from '../models/classifier.ts';
import { fileOrder } from '../models/parameter-layout.ts';
import { type ParameterSlot, parameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { readClassNames, writeClassNames } from './class-names.ts';
import { loadParameters, writeParameters } from './diffusers.ts';
import { fileOperation } from './file-errors.ts';
import { readJson, writeJson } from './json-file.ts';
import { readSlot, type StateOptions, writeState } from './state-file.ts';

const CONFIG_NAME = 'config.json';
const WEIGHTS_NAME = 'classifier.safetensors';
const EMA_NAME = 'classifier_ema.safetensors';

/** What {@link saveClassifier} writes. */
export interface SaveClassifierOptions extends StateOptions {
  readonly model: Classifier;
  readonly classNames?: readonly string[] | undefined;
}

/**
 * Saves the training run of a classifier: `state.safetensors`, from which training resumes exactly, then `config.json` and the weights,
 * `classifier.safetensors` as trained and `classifier_ema.safetensors` their average, in PyTorch's order of elements. Each file is
 * whole, as in `saveRun`.
 *
 * @throws `ERR_CHECKPOINT` naming the file that could not be written.
 */
export async function saveClassifier(directory: string, options: SaveClassifierOptions): Promise<void> {
  const { model, state, classNames } = options;
  await state.ready;
  await fileOperation('create', directory, () => mkdir(directory, { recursive: true }));
  await writeState(directory, options);
  await writeJson(join(directory, CONFIG_NAME), classifierToJson(model.config));
  const { weights } = state;
  const write = (name: string, buffer: DeviceBuffer): Promise<void> =>
    writeParameters(join(directory, name), weights.table.slots, (parameter) =>
      readSlot(buffer, parameter as ParameterSlot, fileOrder(parameter)),
    );
  await write(WEIGHTS_NAME, weights.parameters);
  if (weights.ema) await write(EMA_NAME, weights.ema);
  if (classNames) await writeClassNames(directory, classNames);
}

/** A classifier that was loaded from a folder. */
export interface LoadedClassifier {
  /** With its weights on the device. */
  readonly model: Classifier;
  readonly classNames: readonly string[] | undefined;
}

/**
 * Loads a classifier that {@link saveClassifier} wrote.
 *
 * @param ema load the average of the weights where the folder has one; false: the weights as trained.
 * @throws `ERR_CHECKPOINT` naming the file and what is wrong with it, `ERR_OUT_OF_MEMORY`.
 */
export async function loadClassifier(
  directory: string,
  { device, ema = true }: { readonly device: Device; readonly ema?: boolean },
): Promise<LoadedClassifier> {
  const path = join(directory, CONFIG_NAME);
  const model = classifierFromJson(await readJson(path), path);
  const table = parameterTable(model.parameters);
  const parameters = device.allocate(table.size * 4);
  const averaged = join(directory, EMA_NAME);
  const hasAverage = await stat(averaged).then(
    () => true,
    () => false,
  );
  await loadParameters(ema && hasAverage ? averaged : join(directory, WEIGHTS_NAME), table.slots, parameters);
  model.weights = { device, table, parameters, ema: undefined };
  return { model, classNames: await readClassNames(directory) };
}
