import { emit, expectShape, type Value } from '../graph.ts';
import { sumPixels } from './reductions.ts';

/**
 * Adds a vector of channels to every pixel of a sample, `y[n, ..., c] = x[n, ..., c] + t[n, c]`: how a residual block is told the
 * time.
 *
 * @param x float32 [N, ..., C]
 * @param t float32 [N, C]
 */
export function addChannels(x: Value, t: Value): Value {
  expectShape('vector of addChannels', t.shape, [x.shape[0] ?? 0, x.shape.at(-1) ?? 0]);
  return emit({
    kernel: 'add_channels',
    outputs: { y: x.shape },
    inputs: { x, t },
    gradient: ({ y: dy }, wanted) => ({ x: dy, t: dy && wanted.has('t') ? sumPixels(dy) : undefined }),
  }).y;
}
