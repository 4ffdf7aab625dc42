import { reshape, type Value } from '../../graph/graph.ts';
import { addChannels } from '../../graph/ops/add-channels.ts';
import { conv2d } from '../../graph/ops/conv2d.ts';
import { fill } from '../../graph/ops/elementwise.ts';
import { upsampleNearest } from '../../graph/ops/upsample-nearest.ts';
import { type BlockContext, convolution, halfKernel, type LayerContext } from './layers.ts';

/**
 * Halves height and width by a 3x3 convolution of stride 2; a signal [N, 1, L, C], whose kernel is 1x3, keeps its height of 1.
 *
 * @param x float32 [N, H, W, C], H and W even
 * @param padding 1 pads one pixel on every side (PyTorch); 0 pads one below and one to the right (TensorFlow's SAME).
 * @returns float32 [N, H/2, W/2, C]
 */
export function downsample({ parameter }: LayerContext, name: string, x: Value, padding: 0 | 1 = 1): Value {
  const weight = parameter(`${name}.conv.weight`);
  return x.graph.scope(name, () =>
    conv2d(x, weight, parameter(`${name}.conv.bias`), {
      stride: 2,
      padding: padding === 1 ? halfKernel(weight) : { top: 0, left: 0, bottom: 1, right: 1 },
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
  return x.graph.scope(name, () => convolution(context, `${name}.conv`, upsampleNearest(x, 2)));
}

/**
 * Doubles the length of a signal by repeating every value, then convolves along it.
 *
 * @param x float32 [N, 1, L, C]
 * @returns float32 [N, 1, 2L, C]
 */
export function upsampleSignal(context: LayerContext, name: string, x: Value): Value {
  const [batch = 1, , length = 1, channels = 1] = x.shape;
  return x.graph.scope(name, () => {
    // A value added to two zeros is a value repeated; so its gradient is the sum of both.
    const values = reshape(x, [batch * length, channels]);
    const repeated = addChannels(fill(x.graph, [batch * length, 2, channels], 0), values);
    return convolution(context, `${name}.conv`, reshape(repeated, [batch, 1, 2 * length, channels]));
  });
}
