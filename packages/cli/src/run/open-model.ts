import { type Device, type LoadedRun, loadRun, openDevice } from '@diffuse/core';
import { messageOf, usageError } from '../failure.ts';

/** A model with its weights, and the device that they are on. Close the device with `using`. */
export interface OpenModel extends LoadedRun {
  readonly device: Device;
}

/**
 * Opens a device and loads a model onto it, with the average of the weights where there is one and `ema` is not false.
 *
 * @throws Failure naming the flag; DiffuseError `ERR_DEVICE`, `ERR_NATIVE`, `ERR_OUT_OF_MEMORY`.
 */
export async function openModel(
  directory: string,
  {
    flag,
    device: kind = 'auto',
    threads,
    ema = true,
  }: { flag: string; device?: 'auto' | 'cpu' | undefined; threads?: number | undefined; ema?: boolean | undefined },
): Promise<OpenModel> {
  const device = await openDevice(kind, threads === undefined ? {} : { threads });
  try {
    return { ...(await loadRun(directory, { device, ema })), device };
  } catch (error) {
    device.dispose();
    const code = (error as { code?: unknown }).code;
    if (code === 'ERR_CHECKPOINT') throw usageError(`${flag}: ${messageOf(error)}`, { cause: error });
    throw error;
  }
}
