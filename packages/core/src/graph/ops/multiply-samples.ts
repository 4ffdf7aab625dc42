import { emit, expectShape, type Value } from '../graph.ts';
import { multiply } from './elementwise.ts';
import { sumSamples } from './reductions.ts';

/**
 * Multiplies each sample by a number of its own, `y[n, ...] = x[n, ...] * factor[n]`.
 *
 * @param x float32 [N, ..., C]
 * @param factor float32 [N]
 */
export function multiplySamples(x: Value, factor: Value): Value {
  expectShape('factor of multiplySamples', factor.shape, [x.shape[0] ?? 0]);
  return emit({
    kernel: 'multiply_samples',
    outputs: { y: x.shape },
    inputs: { x, factor },
    gradient: ({ y: dy }, wanted) =>
      dy
        ? {
            x: wanted.has('x') ? multiplySamples(dy, factor) : undefined,
            factor: wanted.has('factor') ? sumSamples(multiply(dy, x)) : undefined,
          }
        : {},
  }).y;
}
