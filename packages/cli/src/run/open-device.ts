import { type Device, type DeviceOptions, DiffuseError, openDevice } from '@diffuse/core';
import { messageOf, usageError } from '../failure.ts';
import type { DeviceChoice } from '../settings/device-setting.ts';
import type { Report } from '../terminal/report.ts';

/** What commands choose of a device. */
export interface ChosenDevice extends Pick<DeviceOptions, 'threads' | 'precision' | 'tf32'> {
  readonly device?: DeviceChoice | undefined;
}

/**
 * Opens the device that `--device` names, by default the best one; says on stderr why a GPU that is there is passed over.
 *
 * @throws Failure naming the flag for a device that there is not or that cannot be used, and for `--tf32` on the CPU; DiffuseError
 *   `ERR_NATIVE`, `ERR_ARGUMENT`.
 */
export async function openChosenDevice(
  { device = 'auto', threads, precision, tf32 = false }: ChosenDevice,
  report: Pick<Report, 'warn'>,
): Promise<Device> {
  if (tf32 && device === 'cpu') {
    throw usageError('--tf32 is for GPUs; the CPU (--device cpu) has no tf32 and multiplies float32 in full');
  }
  try {
    const opened = await openDevice(device, { threads, precision, tf32, onWarning: (message) => report.warn(message) });
    if (tf32 && !opened.tf32) report.warn('--tf32 changes nothing here: the CPU multiplies float32 in full');
    return opened;
  } catch (error) {
    if (device === 'auto' || !(error instanceof DiffuseError && error.code === 'ERR_DEVICE')) throw error;
    throw usageError(`--device ${device}: ${messageOf(error)}`, { cause: error });
  }
}
