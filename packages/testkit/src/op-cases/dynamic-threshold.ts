import { dynamicThreshold } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { activationShapes, at, typedCase } from './typed-case.ts';

const factors = { x0FromX: 1.3, x0FromPrediction: -0.7 };

/** What the shapes are tried with. The last bound is below 1 for most samples and acts as 1. */
const variants = [
  { what: 'no largest bound', quantile: 0.9, max: Number.POSITIVE_INFINITY },
  { what: 'a largest bound', quantile: 0.995, max: 1.5 },
  { what: 'the largest element', quantile: 1, max: Number.POSITIVE_INFINITY },
  { what: 'a small quantile', quantile: 0.2, max: 3 },
];

/** Quantile of numbers in ascending order, linear between neighbours. */
function quantileOf(sorted: Float64Array, quantile: number): number {
  const position = quantile * (sorted.length - 1);
  const below = sorted[Math.floor(position)] as number;
  const above = sorted[Math.ceil(position)] as number;
  return below + (position - Math.floor(position)) * (above - below);
}

function reference(x: Tensor64, prediction: Tensor64, quantile: number, max: number): Record<string, Tensor64> {
  const raw = x.data.map((value, i) => factors.x0FromX * value + factors.x0FromPrediction * at(prediction, i));
  const size = raw.length / (x.shape[0] as number);
  const bounds = Array.from({ length: x.shape[0] as number }, (_, n) => {
    const sorted = raw
      .slice(n * size, (n + 1) * size)
      .map(Math.abs)
      .sort();
    return Math.min(Math.max(quantileOf(sorted, quantile), 1), max);
  });
  return {
    x0: tensor64(x.shape, (i) => {
      const bound = bounds[Math.floor(i / size)] as number;
      return Math.min(Math.max(raw[i] as number, -bound), bound) / bound;
    }),
  };
}

/** Op cases of `dynamicThreshold`. */
export const dynamicThresholdCases: readonly OpCase[] = activationShapes.flatMap(([name, shape]) =>
  variants.flatMap(({ what, quantile, max }) =>
    // Equal elements have neighbours of their own size.
    (['noise', 'ties'] as const).map((values) =>
      typedCase({
        name: `dynamicThreshold, ${what}, ${values}, ${name}`,
        inputs: {
          x: { shape, ...(values === 'ties' && { values: (i: number) => (i % 5) - 2 }) },
          prediction: { shape, ...(values === 'ties' && { values: () => 1 }) },
        },
        build: ({ x, prediction }) => ({ x0: dynamicThreshold(x, prediction, { ...factors, quantile, max }) }),
        reference: ({ x, prediction }) => reference(x, prediction, quantile, max),
        gradients: [],
      }),
    ),
  ),
);
