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
 * Each simulated GPU takes blocks and warps in an order of its own, and an order is what a race depends on. To run everything on all of
 * them would take minutes, so a case runs plain on one GPU and with views on the next one, in turn; the first case of every op runs
 * plain on all of them, and must give the same bits on each.
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
    const inTurn = (index: number): Device => gpus[index % gpus.length] as Device;

    for (const [op, list] of Object.entries(cases)) {
      describe(op, () => {
        test.each(list.map((opCase, index) => ({ name: opCase.name, opCase, index })))(
          '$name',
          async ({ opCase, index }) => {
            const plain = index === 0 ? gpus : [inTurn(index)];
            const results: CaseResult[] = [];
            for (const gpu of plain) results.push(await runOpCase(gpu, opCase));
            for (const result of results) {
              judge(opCase, result, false);
              for (const [name, array] of Object.entries(result.arrays)) {
                expect(sameBits(array, results[0]?.arrays[name]), `bits of ${name}`).toBe(true);
              }
            }
            if (opCase.views !== false)
              judge(opCase, await runOpCase(inTurn(index + 1), opCase, { views: true }), true);
          },
        );
      });
    }
  });
}
