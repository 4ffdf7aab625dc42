import { selfConditioning } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { referenceUniform } from './random-reference.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

const stream = { seedLow: 5, seedHigh: 2, step: 77, sampleOffset: 11 };

/** Op cases of `selfConditioning`. */
export const selfConditioningCases: readonly OpCase[] = [
  ...activationShapes,
  ['points, many samples', [40, 2]] as const,
].flatMap(([what, shape]) =>
  [0.8, Infinity].map((clip) => {
    const N = shape[0] as number;
    return typedCase({
      name: `selfConditioning, ${what}, ${clip === Infinity ? 'not clipped' : 'clipped'}`,
      inputs: { xt: { shape }, prediction: { shape }, coefficients: { shape: [N, 2] } },
      build: ({ xt, prediction, coefficients }) => ({
        estimate: selfConditioning(xt, prediction, coefficients, { ...stream, clip }),
      }),
      reference: ({ xt, prediction, coefficients }) => {
        const told = referenceUniform([N], { ...stream, purpose: 16 }).data.map((u) => (u >= 0.5 ? 1 : 0));
        const E = xt.data.length / N;
        const estimate = tensor64(shape, (i) => {
          const n = Math.floor(i / E);
          const x0 = at(coefficients, 2 * n) * at(xt, i) + at(coefficients, 2 * n + 1) * at(prediction, i);
          return told[n] ? Math.min(clip, Math.max(-clip, x0)) : 0;
        });
        return { estimate };
      },
      gradients: [],
    });
  }),
);
