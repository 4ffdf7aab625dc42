import { DiffuseError } from '../../native/errors.ts';
import { emit, expectShape, shapeText, type Value } from '../graph.ts';

/** Zeros around an image: the same on every side, or a number for each side. */
export type Padding =
  | number
  | { readonly top: number; readonly left: number; readonly bottom: number; readonly right: number };

/** Options of {@link conv2d}. */
export interface Conv2dOptions {
  /** Distance between the pixels that the kernel is applied to: 1 or 2. */
  readonly stride?: 1 | 2;
  readonly padding?: Padding;
}

/**
 * 2-D convolution (cross-correlation, as everywhere in this field):
 * `y[n, i, j, k] = bias[k] + sum over a, b, c of x[n, i*stride + a - top, j*stride + b - left, c] * weight[a, b, c, k]`.
 *
 * @param x float32 [N, H, W, C]
 * @param weight float32 [kh, kw, C, K]
 * @param bias float32 [K], or undefined for none
 * @returns float32 [N, (H + top + bottom - kh) / stride + 1, (W + left + right - kw) / stride + 1, K], rounded down
 * @throws `ERR_SHAPE` when the shapes do not fit or nothing is left of the image
 */
export function conv2d(x: Value, weight: Value, bias?: Value, { stride = 1, padding = 0 }: Conv2dOptions = {}): Value {
  const pad = typeof padding === 'number' ? { top: padding, left: padding, bottom: padding, right: padding } : padding;
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  const [kernelHeight = 0, kernelWidth = 0, inputs = 0, outputs = 0] = weight.shape;
  if (x.shape.length !== 4 || weight.shape.length !== 4 || inputs !== channels) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `conv2d: input ${shapeText(x.shape)} and weight ${shapeText(weight.shape)} do not fit; expected [N, H, W, C] and [kh, kw, C, K]`,
    );
  }
  if (bias) expectShape('bias of conv2d', bias.shape, [outputs]);
  const outputHeight = Math.floor((height + pad.top + pad.bottom - kernelHeight) / stride) + 1;
  const outputWidth = Math.floor((width + pad.left + pad.right - kernelWidth) / stride) + 1;
  if (outputHeight < 1 || outputWidth < 1) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `conv2d: a ${kernelHeight}x${kernelWidth} kernel leaves nothing of ${shapeText(x.shape)}`,
    );
  }
  const attributes = { stride, padTop: pad.top, padLeft: pad.left };
  return emit({
    kernel: 'conv2d_forward',
    outputs: { y: [batch, outputHeight, outputWidth, outputs] },
    inputs: { x, weight, bias },
    attributes,
    gradient: ({ y: dy }, wanted) => {
      if (!dy) return {};
      const parameters =
        wanted.has('weight') || wanted.has('bias')
          ? emit({
              kernel: 'conv2d_weight_gradient',
              outputs: { dweight: weight.shape, dbias: bias?.shape },
              inputs: { x, dy },
              attributes,
            })
          : undefined;
      const dx = wanted.has('x')
        ? emit({ kernel: 'conv2d_data_gradient', outputs: { dx: x.shape }, inputs: { dy, weight }, attributes }).dx
        : undefined;
      return { x: dx, weight: parameters?.dweight, bias: parameters?.dbias };
    },
  }).y;
}
