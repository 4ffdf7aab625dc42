import { dropout, randomNormal, randomUniform } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { referenceNormal, referenceUniform } from './random-reference.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

const stream = { seedLow: 0xdeadbeef, seedHigh: 0x12345678, step: 7, sampleOffset: 11 };
const shapes = [['one number a sample', [5]] as const, ...activationShapes];

/** Op cases of `randomNormal`. */
export const randomNormalCases: readonly OpCase[] = shapes.map(([what, shape]) =>
  typedCase({
    name: `randomNormal, ${what}`,
    // Random ops have no input; this one only names the graph.
    inputs: { graphOf: { shape: [1] } },
    build: ({ graphOf }) => ({ y: randomNormal(graphOf.graph, shape, { ...stream, purpose: 3, deviation: 2 }) }),
    reference: () => {
      const normal = referenceNormal(shape, { ...stream, purpose: 3 });
      return { y: tensor64(shape, (i) => 2 * at(normal, i)) };
    },
    tolerance: 4e-7,
    gradients: [],
  }),
);

/** Op cases of `randomUniform`. */
export const randomUniformCases: readonly OpCase[] = shapes.map(([what, shape]) =>
  typedCase({
    name: `randomUniform, ${what}`,
    inputs: { graphOf: { shape: [1] } },
    build: ({ graphOf }) => ({ y: randomUniform(graphOf.graph, shape, { ...stream, purpose: 1, low: -1, high: 3 }) }),
    reference: () => {
      const uniform = referenceUniform(shape, { ...stream, purpose: 1 });
      return { y: tensor64(shape, (i) => -1 + 4 * at(uniform, i)) };
    },
    tolerance: 1e-7,
    gradients: [],
  }),
);

/** Op cases of `dropout`. The mask is the same in the reference, so the gradient can be checked by finite differences. */
export const dropoutCases: readonly OpCase[] = shapes.map(([what, shape]) => {
  const layer = 4;
  const uniform = referenceUniform(shape, { ...stream, purpose: 5 | (layer << 8) });
  return typedCase({
    name: `dropout, ${what}`,
    inputs: { x: { shape } },
    build: ({ x }) => ({ y: dropout(x, { ...stream, probability: 0.25, layer }) }),
    reference: ({ x }) => ({ y: tensor64(shape, (i) => (at(uniform, i) >= 0.25 ? at(x, i) / 0.75 : 0)) }),
  });
});
