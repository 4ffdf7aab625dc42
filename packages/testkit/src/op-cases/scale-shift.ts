import { scaleShift } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { activationShapes, at, sizesOf, typedCase } from './typed-case.ts';

/** Op cases of `scaleShift`. */
export const scaleShiftCases: readonly OpCase[] = activationShapes.map(([what, shape]) =>
  typedCase({
    name: `scaleShift, ${what}`,
    inputs: { x: { shape }, s: { shape: [shape[0] as number, 2 * (shape.at(-1) as number)] } },
    build: ({ x, s }) => ({ y: scaleShift(x, s) }),
    reference: ({ x, s }) => {
      const { P, C } = sizesOf(x);
      return {
        y: tensor64(x.shape, (i) => {
          const slot = Math.floor(i / (P * C)) * 2 * C + (i % C);
          return at(x, i) * (1 + at(s, slot)) + at(s, slot + C);
        }),
      };
    },
  }),
);
