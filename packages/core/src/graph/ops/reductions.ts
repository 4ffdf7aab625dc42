import { emit, type Value } from '../graph.ts';
import { addChannels } from './add-channels.ts';
import { fill } from './elementwise.ts';
import { multiplySamples } from './multiply-samples.ts';

/**
 * Sum over the pixels of each sample, `y[n, c] = sum of x[n, ..., c]`, in a fixed order.
 *
 * @param x float32 [N, ..., C]
 * @returns float32 [N, C]
 */
export function sumPixels(x: Value): Value {
  return emit({
    kernel: 'sum_pixels',
    outputs: { y: [x.shape[0] ?? 0, x.shape.at(-1) ?? 0] },
    inputs: { x },
    gradient: ({ y: dy }) => ({ x: dy && addChannels(fill(x.graph, x.shape, 0), dy) }),
  }).y;
}

/**
 * Sum over all elements of each sample, `y[n] = sum of x[n, ...]`, in float64 and in a fixed order.
 *
 * @param x float32 [N, ..., C]
 * @returns float32 [N]
 */
export function sumSamples(x: Value): Value {
  return emit({
    kernel: 'sum_samples',
    outputs: { y: [x.shape[0] ?? 0] },
    inputs: { x },
    gradient: ({ y: dy }) => ({ x: dy && multiplySamples(fill(x.graph, x.shape, 1), dy) }),
  }).y;
}

/**
 * Sum of all elements, in a fixed order. Has no gradient: losses have kernels of their own.
 *
 * @param x float32 [..., C]
 * @returns float32 [1]
 */
export function sum(x: Value): Value {
  return emit({ kernel: 'sum', outputs: { y: [1] }, inputs: { x } }).y;
}
