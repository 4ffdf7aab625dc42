import { type Device, type DeviceOptions, DiffuseError, openDevice } from '@diffuse/core';
import { messageOf, usageError } from '../failure.ts';
import type { DeviceChoice } from '../settings/device-setting.ts';
import type { Report } from '../terminal/report.ts';

/** What commands choose of a device. */
export interface ChosenDevice extends Pick<DeviceOptions, 'threads' | 'precision'> {
  readonly device?: DeviceChoice | undefined;
}

/**
 * Opens the device that `--device` names, by default the best one; says on stderr why a GPU that is there is passed over.
 *
 * @throws Failure naming the flag for a device that there is not or that cannot be used; DiffuseError `ERR_NATIVE`, `ERR_ARGUMENT`.
 */
export async function openChosenDevice(
  { device = 'auto', threads, precision }: ChosenDevice,
  report: Pick<Report, 'warn'>,
): Promise<Device> {
  try {
    return await openDevice(device, { threads, precision, onWarning: (message) => report.warn(message) });
  } catch (error) {
    if (device === 'auto' || !(error instanceof DiffuseError && error.code === 'ERR_DEVICE')) throw error;
    throw usageError(`--device ${device}: ${messageOf(error)}`, { cause: error });
  }
}
