import { type DeviceName, listDevices } from '@diffuse/core';

/** GPUs for tests: simulated ones, or those of the driver that `DIFFUSE_CUDA_DRIVER` names (scripts/vitest-cuda-setup.ts). */
export interface TestGpus {
  /** As `openDevice` names them. Of simulated ones each takes blocks and warps in an order of its own. */
  readonly devices: readonly DeviceName[];
  /** Why there is none, for the names of the tests that are skipped; undefined where there are. */
  readonly missing: string | undefined;
}

/** The GPUs that this process can test on. @throws when there should be some and none can be used. */
export function testGpus(): TestGpus {
  const missing = process.env.DIFFUSE_TEST_WITHOUT_CUDA;
  if (missing !== undefined) return { devices: [], missing };
  const gpus = listDevices().filter(({ device }) => device !== 'cpu');
  const devices = gpus.filter(({ reason }) => reason === '').map(({ device }) => device);
  if (devices.length === 0)
    throw new Error(`no GPU to test on: ${[...new Set(gpus.map(({ reason }) => reason))].join(', ') || 'none found'}`);
  return { devices, missing: undefined };
}
