import { emit, type Value } from '../graph.ts';

/**
 * SiLU (swish), `y = x * sigmoid(x)`, element by element. Hendrycks and Gimpel 2016, arXiv:1606.08415.
 *
 * Recomputed in the backward pass, which needs x alone: `dx = dy * s * (1 + x * (1 - s))` with `s = sigmoid(x)`.
 *
 * @param x float32 [..., C]
 * @returns float32 [..., C]
 */
export function silu(x: Value): Value {
  return emit({
    kernel: 'silu_forward',
    outputs: { y: x.shape },
    inputs: { x },
    recompute: true,
    gradient: ({ y: dy }) => ({
      x: dy && emit({ kernel: 'silu_backward', outputs: { dx: x.shape }, inputs: { dy, x } }).dx,
    }),
  }).y;
}
