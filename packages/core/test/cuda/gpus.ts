import { describe } from 'vitest';
import { testGpus } from '../../../testkit/src/test-gpus.ts';
import type { DeviceName } from '../../src/native/open-native.ts';

const { devices, missing } = testGpus();

/** Tests on the first GPU; `others` are further ones, with schedules of their own. Where there is none the name says why. */
export function describeOnGpu(what: string, body: (device: DeviceName, others: readonly DeviceName[]) => void): void {
  const [first = 'cuda', ...others] = devices;
  const title = missing === undefined ? `${what} on a GPU` : `${what} on a GPU (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(title, () => body(first, others));
}
