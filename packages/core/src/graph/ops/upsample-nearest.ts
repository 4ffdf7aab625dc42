import { DiffuseError } from '../../native/errors.ts';
import { emit, type Value } from '../graph.ts';

/**
 * Repeats every pixel `factor` times in both directions.
 *
 * @param x float32 [N, H, W, C]
 * @param factor positive integer
 * @returns float32 [N, factor * H, factor * W, C]
 */
export function upsampleNearest(x: Value, factor: number): Value {
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  if (x.shape.length !== 4 || !Number.isInteger(factor) || factor < 1) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `upsampleNearest takes [N, H, W, C] and a positive integer, got factor ${factor}`,
    );
  }
  return emit({
    kernel: 'upsample_nearest_forward',
    outputs: { y: [batch, factor * height, factor * width, channels] },
    inputs: { x },
    recompute: true,
    gradient: ({ y: dy }) => ({
      x: dy && emit({ kernel: 'upsample_nearest_backward', outputs: { dx: x.shape }, inputs: { dy } }).dx,
    }),
  }).y;
}
