import { type Device, openDevice, type Precision } from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CaseResult, type OpCase, runOpCase, sameBits, testGpus } from '../src/index.ts';

/** An op's cases, and how a run of one is judged. */
export interface GpuSuite {
  readonly precision: Precision;
  readonly cases: Readonly<Record<string, readonly OpCase[]>>;
  readonly judge: (opCase: OpCase, result: CaseResult, views: boolean) => void;
}

/**
 * Runs every case on GPUs against the same references as the CPU's.
 *
 * Each simulated GPU takes blocks and warps in an order of its own, and an order is what a race depends on: every case runs on all of
 * them, plain and with views, and must give the same bits on each.
 */
export function describeOnGpus({ precision, cases, judge }: GpuSuite): void {
  const { devices: names, missing } = testGpus();
  const title = missing === undefined ? 'on GPUs' : `on GPUs (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(title, { timeout: 300_000 }, () => {
    const gpus: Device[] = [];
    beforeAll(async () => {
      // What the self-check looks at is looked at here, more closely.
      for (const name of names) gpus.push(await openDevice(name, { precision, selfCheck: false }));
    });
    afterAll(() => {
      for (const gpu of gpus) gpu.dispose();
    });

    for (const [op, list] of Object.entries(cases)) {
      describe(op, () => {
        test.each(list)('$name', async (opCase) => {
          for (const views of opCase.views === false ? [false] : [false, true]) {
            const results = await Promise.all(gpus.map((gpu) => runOpCase(gpu, opCase, { views })));
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
  });
}
