import { emit, expectShape, type Value } from '../graph.ts';

/**
 * Scale and shift by sample and channel, `y = x * (1 + scale[n, c]) + shift[n, c]`: adaptive normalisation. Dhariwal and Nichol
 * 2021, arXiv:2105.05233, section 3.1.
 *
 * @param x float32 [N, ..., C]
 * @param scaleShift float32 [N, 2C]: the scales, then the shifts
 */
export function scaleShift(x: Value, scaleShift: Value): Value {
  expectShape('scaleShift', scaleShift.shape, [x.shape[0] ?? 0, 2 * (x.shape.at(-1) ?? 0)]);
  return emit({
    kernel: 'scale_shift_forward',
    outputs: { y: x.shape },
    inputs: { x, scaleShift },
    recompute: true,
    gradient: ({ y: dy }) => {
      if (!dy) return {};
      const { dx, dscaleShift } = emit({
        kernel: 'scale_shift_backward',
        outputs: { dx: x.shape, dscaleShift: scaleShift.shape },
        inputs: { dy, x, scaleShift },
      });
      return { x: dx, scaleShift: dscaleShift };
    },
  }).y;
}
