import { fileOrder, fileShape, type ParameterLayout } from '../models/parameter-layout.ts';
import type { ParameterSlot, ParameterTable } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { openSafetensors, type SafetensorsFile, writeSafetensors } from './safetensors.ts';

/** Weights on their way to the device at one time: most are small, and what they cost is the wait. */
const LOAD_AHEAD = 8;

/**
 * Loads weights onto a device. Names of early files of diffusers (`query`, `key`, `value`, `proj_attn` in attention) are understood, half
 * precision is widened. Before memory is taken and the first weight is read, names and shapes of all of them have been checked.
 *
 * @param path a safetensors file.
 * @param table what the file must hold, neither less nor more, and where it goes.
 * @returns a buffer of the layout of `table`.
 * @throws DiffuseError `ERR_CHECKPOINT` naming the file and what does not fit, `ERR_OUT_OF_MEMORY`.
 */
export async function loadWeights(path: string, table: ParameterTable, device: Device): Promise<DeviceBuffer> {
  await using file = await openSafetensors(path);
  const keys = matchParameters(file, table.slots);
  const buffer = device.allocate(table.size * 4);
  // The device's thread takes one weight after the other; a few wait, so that it never does.
  const loading = new Set<Promise<void>>();
  try {
    for (const slot of table.slots) {
      const place = { offset: slot.offset, order: fileOrder(slot) };
      const load = file.loadFloat32(keys.get(slot.name) as string, buffer, place).finally(() => loading.delete(load));
      loading.add(load);
      if (loading.size >= LOAD_AHEAD) await Promise.race(loading);
    }
    await Promise.all(loading);
    return buffer;
  } catch (error) {
    await Promise.allSettled(loading);
    buffer.dispose();
    throw error;
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
export async function writeParameters<P extends ParameterLayout>(
  path: string,
  parameters: readonly P[],
  valuesOf: (parameter: P) => Float32Array | Promise<Float32Array>,
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
function matchParameters(file: SafetensorsFile, parameters: readonly ParameterSlot[]): ReadonlyMap<string, string> {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_CHECKPOINT', `${file.path}: ${problem}`);
  };
  const keys = new Map<string, string>();
  for (const key of file.tensors.keys()) {
    const name = currentName(key);
    if (keys.has(name)) refuse(`${keys.get(name)} and ${key} are the same parameter`);
    keys.set(name, key);
  }
  const missing = parameters.filter(({ name }) => !keys.has(name)).map(({ name }) => name);
  if (missing.length > 0) refuse(`lacks ${some(missing)} of the network in config.json`);
  const wanted = new Set(parameters.map(({ name }) => name));
  const surplus = [...keys].filter(([name]) => !wanted.has(name)).map(([, key]) => key);
  if (surplus.length > 0) refuse(`has ${some(surplus)} that the network in config.json does not have`);
  for (const parameter of parameters) {
    const key = keys.get(parameter.name) as string;
    const found = file.tensors.get(key)?.shape.join(', ');
    const expected = fileShape(parameter).join(', ');
    if (found !== expected) refuse(`${key} is [${found}]; the network in config.json needs [${expected}]`);
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
