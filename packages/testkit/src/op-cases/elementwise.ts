import { add, addChannels, copy, divideSamples, fill, multiply, multiplySamples, scale } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { activationShapes, at, sizesOf, typedCase } from './typed-case.ts';

/** Op cases of `copy`. */
export const copyCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `copy, ${what}`,
    inputs: { x: { shape } },
    build: ({ x }) => ({ y: copy(x) }),
    reference: ({ x }) => ({ y: x }),
    tolerance: 0,
    gradients: [],
  }),
);

/** Op cases of `fill`. */
export const fillCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `fill, ${what}`,
    inputs: { x: { shape } },
    build: ({ x }) => ({ y: fill(x.graph, shape, -2.5) }),
    reference: ({ x }) => ({ y: tensor64(x.shape, () => -2.5) }),
    tolerance: 0,
    gradients: [],
  }),
);

/** Op cases of `scale`. */
export const scaleCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `scale, ${what}`,
    inputs: { x: { shape } },
    build: ({ x }) => ({ y: scale(x, -1.7) }),
    reference: ({ x }) => ({ y: tensor64(x.shape, (i) => -1.7 * at(x, i)) }),
  }),
);

/** Op cases of `add`. */
export const addCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `add, ${what}`,
    inputs: { a: { shape }, b: { shape } },
    build: ({ a, b }) => ({ y: add(a, b, { alpha: 0.7, beta: -1.3 }) }),
    reference: ({ a, b }) => ({ y: tensor64(a.shape, (i) => 0.7 * at(a, i) - 1.3 * at(b, i)) }),
  }),
);

/** Op cases of `multiply`. */
export const multiplyCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `multiply, ${what}`,
    inputs: { a: { shape }, b: { shape } },
    build: ({ a, b }) => ({ y: multiply(a, b) }),
    reference: ({ a, b }) => ({ y: tensor64(a.shape, (i) => at(a, i) * at(b, i)) }),
  }),
);

/** Op cases of `multiplySamples`. */
export const multiplySamplesCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `multiplySamples, ${what}`,
    inputs: { x: { shape }, factor: { shape: [shape[0] as number], values: (n) => 0.3 - 1.7 * n } },
    build: ({ x, factor }) => ({ y: multiplySamples(x, factor) }),
    reference: ({ x, factor }) => {
      const { P, C } = sizesOf(x);
      return { y: tensor64(x.shape, (i) => at(x, i) * at(factor, Math.floor(i / (P * C)))) };
    },
  }),
);

/** Op cases of `addChannels`. */
export const addChannelsCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `addChannels, ${what}`,
    inputs: { x: { shape }, t: { shape: [shape[0] as number, shape.at(-1) as number] } },
    build: ({ x, t }) => ({ y: addChannels(x, t) }),
    reference: ({ x, t }) => {
      const { P, C } = sizesOf(x);
      return { y: tensor64(x.shape, (i) => at(x, i) + at(t, Math.floor(i / (P * C)) * C + (i % C))) };
    },
  }),
);

/** Op cases of `divideSamples`. */
export const divideSamplesCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `divideSamples, ${what}`,
    inputs: { x: { shape }, divisor: { shape: [shape[0] as number], values: (n) => 0.3 + n } },
    build: ({ x, divisor }) => ({ y: divideSamples(x, divisor) }),
    reference: ({ x, divisor }) => {
      const { P, C } = sizesOf(x);
      return { y: tensor64(x.shape, (i) => at(x, i) / at(divisor, Math.floor(i / (P * C)))) };
    },
    gradients: ['x'],
  }),
);
