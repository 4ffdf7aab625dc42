import { type Device, openDevice, type Precision } from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../core/src/native/addon.ts';
import { type CaseResult, type OpCase, runOpCase, sameBits, testGpus } from '../src/index.ts';

/** Cases by op, and how a run of one is judged. */
export interface OpSuite {
  readonly precision: Precision;
  readonly cases: Readonly<Record<string, readonly OpCase[]>>;
  readonly judge: (opCase: OpCase, result: CaseResult, views: boolean) => void;
}

const threadCounts = [1, 3];

/** Runs a suite on each instruction set of this CPU; the number of threads must not change a bit. */
export function describeOnCpus(suite: OpSuite): void {
  for (const isa of loadAddon().isas) {
    describe(`in ${suite.precision} on ${isa}`, () =>
      describeOnDevices(suite, () =>
        threadCounts.map((threads) => openDevice('cpu', { isa, threads, precision: suite.precision })),
      ));
  }
}

/**
 * Runs a suite on GPUs against the same references as the CPU's.
 *
 * Each simulated GPU takes blocks and warps in an order of its own, and an order is what a race depends on; none must change a bit.
 */
export function describeOnGpus(suite: OpSuite): void {
  const { devices, missing } = testGpus();
  const title = missing === undefined ? 'on GPUs' : `on GPUs (skipped: ${missing})`;
  // What the self-check looks at is looked at here, more closely.
  const options = { precision: suite.precision, selfCheck: false };
  describe.skipIf(missing !== undefined)(title, { timeout: 300_000 }, () =>
    describeOnDevices(suite, () => devices.map((name) => openDevice(name, options))),
  );
}

/** Every case, plain and with views, on all devices. */
function describeOnDevices({ cases, judge }: OpSuite, open: () => readonly Promise<Device>[]): void {
  let devices: readonly Device[] = [];
  beforeAll(async () => {
    devices = await Promise.all(open());
  });
  afterAll(() => {
    for (const device of devices) device.dispose();
  });

  for (const [op, list] of Object.entries(cases)) {
    describe(op, () => {
      test.each(list)('$name', async (opCase) => {
        for (const views of opCase.views === false ? [false] : [false, true]) {
          const results = await Promise.all(devices.map((device) => runOpCase(device, opCase, { views })));
          for (const result of results) {
            judge(opCase, result, views);
            for (const [name, array] of Object.entries(result.arrays)) {
              expect(sameBits(array, results[0]?.arrays[name]), `bits of ${name}`).toBe(true);
            }
          }
        }
      });
    });
  }
}
