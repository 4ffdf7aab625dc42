import { type Device, openDevice } from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../core/src/native/addon.ts';
import { type CaseResult, type OpCase, opCases, runOpCase, sameBits } from '../src/index.ts';
import { describeOnGpus } from './on-gpus.ts';

/** Instruction sets × threads: the first of each list is the reference of the bit comparison. */
const threadCounts = [1, 3];

function judge({ tolerance = 2e-6 }: OpCase, { outputErrors, gradientErrors }: CaseResult, views: boolean): void {
  for (const [name, error] of Object.entries(outputErrors)) {
    expect(error, `output ${name}${views ? ' as a view' : ''}`).toBeLessThanOrEqual(tolerance);
  }
  for (const [name, error] of Object.entries(gradientErrors)) {
    expect(error, `gradient of ${name}${views ? ' with views' : ''}`).toBeLessThanOrEqual(10 * tolerance);
  }
}

for (const isa of loadAddon().isas) {
  describe(`on ${isa}`, () => {
    const devices: Device[] = [];
    beforeAll(async () => {
      for (const threads of threadCounts) devices.push(await openDevice('cpu', { isa, threads }));
    });
    afterAll(() => {
      for (const device of devices) device.dispose();
    });

    for (const [op, cases] of Object.entries(opCases)) {
      describe(op, () => {
        test.each(cases)('$name', async (opCase) => {
          for (const views of opCase.views === false ? [false] : [false, true]) {
            let first: Readonly<Record<string, Float32Array>> | undefined;
            for (const device of devices) {
              const result = await runOpCase(device, opCase, { views });
              judge(opCase, result, views);
              const { arrays } = result;
              first ??= arrays;
              for (const [name, array] of Object.entries(arrays)) {
                expect(sameBits(array, first[name]), `bits of ${name}`).toBe(true);
              }
            }
          }
        });
      });
    }
  });
}

describeOnGpus({ precision: 'fp32', cases: opCases, judge });
