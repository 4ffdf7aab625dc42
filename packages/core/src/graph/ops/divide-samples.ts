import { emit, expectShape, type Value } from '../graph.ts';

/**
 * Divides each sample by a number of its own, `y[n, ...] = x[n, ...] / divisor[n]`. The divisor is not differentiated.
 *
 * @param x float32 [N, ..., C]
 * @param divisor float32 [N]
 */
export function divideSamples(x: Value, divisor: Value): Value {
  expectShape('divisor of divideSamples', divisor.shape, [x.shape[0] ?? 0]);
  return emit({
    kernel: 'divide_samples',
    outputs: { y: x.shape },
    inputs: { x, divisor },
    gradient: ({ y: dy }) => ({ x: dy && divideSamples(dy, divisor) }),
  }).y;
}
