import { type Device, openDevice, type Precision } from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../core/src/native/addon.ts';
import { type CaseResult, type OpCase, runOpCase, sameBits } from '../src/index.ts';

/** An op's cases, and how a run of one is judged. */
export interface OpSuite {
  readonly precision: Precision;
  readonly cases: Readonly<Record<string, readonly OpCase[]>>;
  readonly judge: (opCase: OpCase, result: CaseResult, views: boolean) => void;
}

/** The first has the bits that the others must have. */
const threadCounts = [1, 3];

/** Runs every case, plain and with views, on each instruction set of this CPU; the number of threads must not change a bit. */
export function describeOnCpus({ precision, cases, judge }: OpSuite): void {
  for (const isa of loadAddon().isas) {
    describe(`in ${precision} on ${isa}`, () => {
      const devices: Device[] = [];
      beforeAll(async () => {
        for (const threads of threadCounts) devices.push(await openDevice('cpu', { isa, threads, precision }));
      });
      afterAll(() => {
        for (const device of devices) device.dispose();
      });

      for (const [op, list] of Object.entries(cases)) {
        describe(op, () => {
          test.each(list)('$name', async (opCase) => {
            for (const views of opCase.views === false ? [false] : [false, true]) {
              const results: CaseResult[] = [];
              for (const device of devices) results.push(await runOpCase(device, opCase, { views }));
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
}
