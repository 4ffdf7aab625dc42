import { gaussianLatent } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

/** Op cases of `gaussianLatent`; the last two have logarithms of variances beyond the bounds. */
export const gaussianLatentCases: readonly OpCase[] = [
  ...activationShapes.map(([what, shape]) => ({ what, shape, beyond: undefined })),
  { what: 'clamped below', shape: [2, 3, 4], beyond: -35 },
  { what: 'clamped above', shape: [2, 3, 4], beyond: 21 },
].map(({ what, shape, beyond }) => {
  const C = shape.at(-1) as number;
  const N = shape[0] as number;
  const wide = [...shape.slice(0, -1), 2 * C];
  const values = (i: number): number => (i % (2 * C) < C || i % 2 === 0 ? i / 100 : (beyond ?? 0));
  return typedCase({
    name: `gaussianLatent, ${what}`,
    inputs: { moments: { shape: wide, ...(beyond && { values }) }, noise: { shape } },
    build: ({ moments, noise }) => ({ ...gaussianLatent(moments, noise) }),
    reference: ({ moments, noise }) => {
      const mean = (i: number): number => at(moments, 2 * i - (i % C));
      const logVariance = (i: number): number => Math.max(-30, Math.min(20, at(moments, 2 * i - (i % C) + C)));
      const z = tensor64(shape, (i) => mean(i) + Math.exp(logVariance(i) / 2) * at(noise, i));
      let kl = 0;
      for (let i = 0; i < z.data.length; i++) {
        kl += (mean(i) ** 2 + Math.exp(logVariance(i)) - 1 - logVariance(i)) / 2 / N;
      }
      return { z, kl: tensor64([1], () => kl) };
    },
    // Of numbers as large as exp(20), differences leave too few digits.
    gradients: beyond === 21 ? [] : ['moments'],
  });
});
