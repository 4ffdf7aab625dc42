import { sum, sumPixels, sumSamples } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { activationShapes, at, sizesOf, typedCase } from './typed-case.ts';

/** Op cases of `sumPixels`. */
export const sumPixelsCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `sumPixels, ${what}`,
    inputs: { x: { shape } },
    build: ({ x }) => ({ y: sumPixels(x) }),
    reference: ({ x }) => {
      const { N, P, C } = sizesOf(x);
      const y = tensor64([N, C], () => 0);
      x.data.forEach((value, i) => {
        const slot = Math.floor(i / (P * C)) * C + (i % C);
        y.data[slot] = at(y, slot) + value;
      });
      return { y };
    },
  }),
);

/** Op cases of `sumSamples`. */
export const sumSamplesCases: readonly OpCase[] = [
  ...activationShapes.map(([what, shape]) => samples(what, shape)),
  samples('samples in several tasks', [3, 70_001]),
  // A float32 accumulator would be off by 1e-3 here.
  samples('many equal numbers', [2, 300_000], () => 0.1),
];

function samples(name: string, shape: readonly number[], values?: (i: number) => number): OpCase {
  return typedCase({
    name: `sumSamples, ${name}`,
    inputs: { x: values ? { shape, values } : { shape } },
    build: ({ x }) => ({ y: sumSamples(x) }),
    reference: ({ x }) => {
      const { N, P, C } = sizesOf(x);
      const one = (n: number): Float64Array => x.data.subarray(n * P * C, (n + 1) * P * C);
      return { y: tensor64([N], (n) => one(n).reduce((partial, value) => partial + value, 0)) };
    },
    // Finite differences of so many elements would take seconds, and show nothing that the other shapes do not.
    ...(values && { gradients: [] }),
  });
}

const total = (name: string, shape: readonly number[], values?: (i: number) => number): OpCase =>
  typedCase({
    name: `sum, ${name}`,
    inputs: { x: values ? { shape, values } : { shape } },
    build: ({ x }) => ({ y: sum(x) }),
    reference: ({ x }) => ({ y: tensor64([1], () => x.data.reduce((partial, value) => partial + value, 0)) }),
    gradients: [],
  });

/** Op cases of `sum`. */
export const sumCases: readonly OpCase[] = [
  ...activationShapes.map(([what, shape]) => total(what, shape)),
  total('a flat tensor in several tasks', [200_003]),
  // A float32 accumulator would be off by 1e-3 here.
  total('many equal numbers', [300_000], () => 0.1),
];
