import { type Conv2dOptions, conv2d, type Shape } from '@diffuse/core';
import type { OpCase, Tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

interface Options extends Conv2dOptions {
  /** Zeros above and on the left, for the reference; what `padding` means in numbers. Default 0. */
  readonly before?: readonly [top: number, left: number];
  readonly bias?: boolean;
}

/** `y[n, i, j, k] = bias[k] + Σ_a,b,c x[n, stride i + a - top, stride j + b - left, c] weight[a, b, c, k]`. */
function reference(
  x: Tensor64,
  weight: Tensor64,
  bias: Tensor64 | undefined,
  output: Shape,
  options: Options,
): Tensor64 {
  const [, H = 0, W = 0, C = 0] = x.shape;
  const [kh = 0, kw = 0, , K = 0] = weight.shape;
  const [N = 0, OH = 0, OW = 0] = output;
  const { stride = 1, before: [top, left] = [0, 0] } = options;
  const y = new Float64Array(N * OH * OW * K);
  for (let pixel = 0; pixel < N * OH * OW; pixel++) {
    const [n, i, j] = [Math.floor(pixel / OW / OH), Math.floor(pixel / OW) % OH, pixel % OW];
    for (let k = 0; k < K; k++) {
      let sum = bias ? at(bias, k) : 0;
      for (let tap = 0; tap < kh * kw; tap++) {
        const row = stride * i + Math.floor(tap / kw) - top;
        const column = stride * j + (tap % kw) - left;
        if (row < 0 || row >= H || column < 0 || column >= W) continue;
        const from = ((n * H + row) * W + column) * C;
        for (let c = 0; c < C; c++) sum += at(x, from + c) * at(weight, (tap * C + c) * K + k);
      }
      y[pixel * K + k] = sum;
    }
  }
  return { shape: output, data: y };
}

/** `image` [N, H, W, C], `window` [kh, kw], `output` [N, OH, OW, K]. */
const convolution = (
  what: string,
  image: readonly [number, number, number, number],
  window: readonly [number, number],
  output: readonly [number, number, number, number],
  options: Options = {},
): OpCase => {
  const weight = { shape: [...window, image[3], output[3]] };
  const { stride = 1, padding = 0, bias = true } = options;
  const name = `conv2d, ${what}`;
  return bias
    ? typedCase({
        name,
        inputs: { x: { shape: image }, weight, bias: { shape: [output[3]] } },
        build: (inputs) => ({ y: conv2d(inputs.x, inputs.weight, inputs.bias, { stride, padding }) }),
        reference: (inputs) => ({ y: reference(inputs.x, inputs.weight, inputs.bias, output, options) }),
      })
    : typedCase({
        name,
        inputs: { x: { shape: image }, weight },
        build: (inputs) => ({ y: conv2d(inputs.x, inputs.weight, undefined, { stride, padding }) }),
        reference: (inputs) => ({ y: reference(inputs.x, inputs.weight, undefined, output, options) }),
      });
};

const same = { padding: 1, before: [1, 1] } as const;
const half = { stride: 2, padding: 'same-tf' } as const;

/**
 * Op cases of `conv2d`: single elements, primes, tails of blocks (16 channels), panels (8, 16 and 32) and tiles of rows (6 and 14),
 * images that are convolved together, strips of rows and columns, both strides and every padding.
 */
export const conv2dCases: readonly OpCase[] = [
  convolution('one number', [1, 1, 1, 1], [1, 1], [1, 1, 1, 1]),
  convolution('one pixel, padding on all sides', [2, 1, 1, 5], [3, 3], [2, 1, 1, 7], same),
  convolution('primes', [3, 5, 7, 11], [3, 3], [3, 5, 7, 13], same),
  convolution('first layer of a U-Net', [2, 8, 8, 3], [3, 3], [2, 8, 8, 32], same),
  convolution('last layer of a U-Net', [2, 8, 8, 33], [3, 3], [2, 8, 8, 1], same),
  convolution('last layer, whole blocks', [2, 5, 7, 32], [3, 3], [2, 5, 7, 3], same),
  convolution('last layer, stride 2', [1, 6, 9, 16], [3, 3], [1, 3, 5, 4], { ...same, stride: 2 }),
  convolution('without bias', [2, 4, 4, 16], [3, 3], [2, 4, 4, 16], { ...same, bias: false }),
  convolution('tails of blocks and panels', [1, 3, 15, 17], [3, 3], [1, 3, 15, 33], same),
  convolution('more pixels in a row than tiles divide', [1, 2, 29, 4], [3, 3], [1, 2, 29, 40], same),
  convolution('nine small images together', [9, 2, 2, 18], [3, 3], [9, 2, 2, 20], same),
  convolution('Winograd, ragged tiles', [1, 9, 11, 33], [3, 3], [1, 9, 11, 34], same),
  convolution('Winograd, many tiles without padding', [1, 18, 22, 16], [3, 3], [1, 16, 20, 16]),
  convolution('Winograd, rows of tiles cut', [1, 4, 230, 16], [3, 3], [1, 4, 230, 16], same),
  convolution('Winograd, many channels', [1, 4, 8, 72], [3, 3], [1, 4, 8, 65], same),
  convolution('no padding', [2, 6, 5, 4], [3, 3], [2, 4, 3, 6]),
  convolution('1x1', [2, 5, 5, 24], [1, 1], [2, 5, 5, 40]),
  convolution('stride 2, symmetric padding', [2, 7, 9, 6], [3, 3], [2, 4, 5, 10], { ...same, stride: 2 }),
  convolution('stride 2, TensorFlow padding, even size', [2, 6, 8, 6], [3, 3], [2, 3, 4, 10], half),
  convolution('stride 2, TensorFlow padding, odd size', [1, 5, 7, 6], [3, 3], [1, 3, 4, 10], {
    ...half,
    before: [1, 1],
  }),
  convolution('stride 2, 1x1', [2, 5, 4, 3], [1, 1], [2, 3, 2, 5], { stride: 2 }),
  convolution('another number of zeros on each side', [1, 5, 4, 3], [2, 5], [1, 7, 4, 4], {
    padding: { top: 2, left: 1, bottom: 1, right: 3 },
    before: [2, 1],
  }),
  convolution('a 7x7 window', [1, 9, 8, 2], [7, 7], [1, 9, 8, 3], { padding: 3, before: [3, 3] }),
  convolution('several parts of the pixels', [2, 48, 40, 2], [3, 3], [2, 48, 40, 3], same),
  convolution('a long row', [1, 1, 1100, 2], [1, 3], [1, 1, 1100, 3], {
    padding: { top: 0, left: 1, bottom: 0, right: 1 },
    before: [0, 1],
  }),
];
