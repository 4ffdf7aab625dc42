import { weightedMse } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

/** Op cases of `weightedMse`. */
export const weightedMseCases: readonly OpCase[] = activationShapes.map(([what, shape]) => {
  const N = shape[0] as number;
  return typedCase({
    name: `weightedMse, ${what}`,
    inputs: { prediction: { shape }, target: { shape }, weight: { shape: [N], values: (n) => 0.2 + n } },
    build: ({ prediction, target, weight }) => ({ ...weightedMse(prediction, target, weight) }),
    reference: ({ prediction, target, weight }) => {
      const E = prediction.data.length / N;
      const perSample = tensor64([N], () => 0);
      prediction.data.forEach((p, i) => {
        const n = Math.floor(i / E);
        perSample.data[n] = at(perSample, n) + (p - at(target, i)) ** 2 / E;
      });
      const loss = perSample.data.reduce((sum, error, n) => sum + (at(weight, n) * error) / N, 0);
      return { loss: tensor64([1], () => loss), perSample };
    },
    gradients: ['prediction'],
    differentiable: ['loss'],
  });
});
