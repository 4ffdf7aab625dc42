import { DiffuseError } from '../../native/errors.ts';
import { emit, expectShape, shapeText, type Value } from '../graph.ts';

/**
 * Zeros around an image, 0 to 7 on a side: the same on every side, a number for each side, or `same-tf`: as many as TensorFlow's
 * SAME, which makes the output `ceil(size / stride)` and puts the odd zero at the bottom and on the right.
 */
export type Padding =
  | number
  | 'same-tf'
  | { readonly top: number; readonly left: number; readonly bottom: number; readonly right: number };

/** Largest window and padding that the kernels take. */
const largest = 7;

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
 * @param weight float32 [kh, kw, C, K], kh and kw 1 to 7
 * @param bias float32 [K], or undefined for none
 * @returns float32 [N, (H + top + bottom - kh) / stride + 1, (W + left + right - kw) / stride + 1, K], rounded down
 * @throws `ERR_SHAPE` when the shapes do not fit or nothing is left of the image, `ERR_ARGUMENT` for other strides and paddings
 */
export function conv2d(x: Value, weight: Value, bias?: Value, { stride = 1, padding = 0 }: Conv2dOptions = {}): Value {
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  const [kernelHeight = 0, kernelWidth = 0, inputs = 0, outputs = 0] = weight.shape;
  if (x.shape.length !== 4 || weight.shape.length !== 4 || inputs !== channels) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `conv2d: input ${shapeText(x.shape)} and weight ${shapeText(weight.shape)} do not fit; expected [N, H, W, C] and [kh, kw, C, K]`,
    );
  }
  if (kernelHeight > largest || kernelWidth > largest) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `conv2d: a ${kernelHeight}x${kernelWidth} kernel is too large, at most ${largest}x${largest}`,
    );
  }
  if (bias) expectShape('bias of conv2d', bias.shape, [outputs]);
  if (stride !== 1 && stride !== 2)
    throw new DiffuseError('ERR_ARGUMENT', `conv2d: stride is ${stride}, expected 1 or 2`);
  const pad = sides(padding, stride, [height, width], [kernelHeight, kernelWidth]);
  const outputHeight = Math.floor((height + pad.top + pad.bottom - kernelHeight) / stride) + 1;
  const outputWidth = Math.floor((width + pad.left + pad.right - kernelWidth) / stride) + 1;
  if (outputHeight < 1 || outputWidth < 1) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `conv2d: a ${kernelHeight}x${kernelWidth} kernel leaves nothing of ${shapeText(x.shape)}`,
    );
  }
  const attributes = { stride, padTop: pad.top, padLeft: pad.left, silu: 0 };
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

interface Sides {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** The zeros on each side. Sizes are height and width, of the image and of the kernel. */
function sides(padding: Padding, stride: number, image: [number, number], kernel: [number, number]): Sides {
  if (padding === 'same-tf') {
    const needed = image.map((size, axis) =>
      Math.max((Math.ceil(size / stride) - 1) * stride + (kernel[axis] ?? 0) - size, 0),
    );
    const [vertical = 0, horizontal = 0] = needed;
    const [top, left] = [Math.floor(vertical / 2), Math.floor(horizontal / 2)];
    return { top, left, bottom: vertical - top, right: horizontal - left };
  }
  const each = typeof padding === 'number' ? { top: padding, left: padding, bottom: padding, right: padding } : padding;
  for (const side of ['top', 'left', 'bottom', 'right'] as const) {
    const zeros = each[side];
    if (!Number.isInteger(zeros) || zeros < 0 || zeros > largest) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `conv2d: padding '${side}' is ${zeros}, expected an integer from 0 to ${largest}`,
      );
    }
  }
  return each;
}
