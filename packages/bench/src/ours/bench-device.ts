import { type Device, type DeviceName, type DeviceOptions, openDevice } from '@diffuse/core';

/** The device that is measured. */
export interface BenchDevice extends DeviceOptions {
  /** Default `cpu`. */
  readonly kind?: DeviceName;
}

/** Opens it. @throws as `openDevice` does */
export function openBenchDevice({ kind = 'cpu', ...options }: BenchDevice): Promise<Device> {
  return openDevice(kind, options);
}

/** Whether it is a GPU. */
export const isGpu = ({ kind = 'cpu' }: Pick<BenchDevice, 'kind'>): boolean => kind !== 'cpu';
