import type { Value } from '../../graph/graph.ts';
import { conv2d } from '../../graph/ops/conv2d.ts';
import { upsampleNearest } from '../../graph/ops/upsample-nearest.ts';
import { type BlockContext, convolution3x3 } from './layers.ts';

/**
 * Halves height and width by a 3x3 convolution of stride 2.
 *
 * @param x float32 [N, H, W, C], H and W even
 * @param padding 1 pads one pixel on every side (PyTorch); 0 pads one below and one to the right (TensorFlow's SAME).
 * @returns float32 [N, H/2, W/2, C]
 */
export function downsample({ parameter }: BlockContext, name: string, x: Value, padding: 0 | 1): Value {
  return x.graph.scope(name, () =>
    conv2d(x, parameter(`${name}.conv.weight`), parameter(`${name}.conv.bias`), {
      stride: 2,
      padding: padding === 1 ? 1 : { top: 0, left: 0, bottom: 1, right: 1 },
    }),
  );
}

/**
 * Doubles height and width by repeating pixels, then convolves 3x3.
 *
 * @param x float32 [N, H, W, C]
 * @returns float32 [N, 2H, 2W, C]
 */
export function upsample(context: BlockContext, name: string, x: Value): Value {
  return x.graph.scope(name, () => convolution3x3(context, `${name}.conv`, upsampleNearest(x, 2)));
}
