import { type Device, Graph, openDevice, type Value } from '@diffuse/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../core/src/native/addon.ts';
import { kernelSignature } from '../../core/src/native/kernels.ts';
import { type OpCase, opCases, runOpCase, sameBits } from '../src/index.ts';

const threadCounts = [1, 3];

/**
 * Rounding to bf16 changes a number by 2^-8 of itself at most. What the matrix unit multiplies (weights, attention's probabilities)
 * and some gradients are rounded on their way too.
 */
const outputTolerance = 1.5 * 2 ** -8;
const gradientTolerance = 3 * 2 ** -8;

/** The kernels of a case, forward, that take images of three dimensions or more. */
function imageKernels({ inputs, build }: OpCase): Set<string> {
  const graph = new Graph();
  const values: Record<string, Value> = {};
  for (const [name, { shape, dtype }] of Object.entries(inputs)) values[name] = graph.input(name, shape, dtype);
  build(values);
  const kernels = graph.nodes.filter(({ kernel, inputs: read, outputs: written }) =>
    kernelSignature(kernel).tensors.some(({ name, dtype, output }) => {
      const value = (output ? written : read).get(name);
      return dtype === 'image' && value && value.shape.length >= 3;
    }),
  );
  return new Set(kernels.map(({ kernel }) => kernel));
}

const cases = Object.entries(opCases).flatMap(([op, list]) => {
  const ofImages = list
    .map((opCase) => ({ opCase, kernels: imageKernels(opCase) }))
    .filter(({ kernels }) => kernels.size);
  return ofImages.length > 0 ? [{ op, ofImages }] : [];
});

for (const isa of loadAddon().isas) {
  describe(`images of bf16 on ${isa}`, () => {
    const devices: Device[] = [];
    beforeAll(async () => {
      for (const threads of threadCounts) devices.push(await openDevice('cpu', { isa, threads, precision: 'bf16' }));
    });
    afterAll(() => {
      for (const device of devices) device.dispose();
    });

    for (const { op, ofImages } of cases) {
      describe(op, () => {
        test.each(ofImages)('$opCase.name', async ({ opCase, kernels }) => {
          for (const views of opCase.views === false ? [false] : [false, true]) {
            let first: Readonly<Record<string, Float32Array>> | undefined;
            for (const device of devices) {
              const { outputErrors, gradientErrors, arrays, calls } = await runOpCase(device, opCase, { views });
              // Views are wide enough to be stored as bf16, other images may have too few channels.
              for (const kernel of views ? kernels : []) {
                const formats = calls.filter((call) => call.kernel === kernel).map(({ images }) => images);
                expect(formats, `images of ${kernel}`).toContain('bf16');
              }
              for (const [name, error] of Object.entries(outputErrors)) {
                expect(error, `output ${name}${views ? ' as a view' : ''}`).toBeLessThanOrEqual(outputTolerance);
              }
              for (const [name, error] of Object.entries(gradientErrors)) {
                expect(error, `gradient of ${name}${views ? ' with views' : ''}`).toBeLessThanOrEqual(
                  gradientTolerance,
                );
              }
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
