import { emit, upsampleNearest } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

/** Every element of the large tensor read from the small one, whatever the number of dimensions. */
function repeat(x: Tensor64, shape: readonly number[]): Tensor64 {
  const source = (index: number): number => {
    let rest = index;
    let stride = 1;
    let from = 0;
    for (let d = shape.length - 1; d >= 0; d--) {
      const [large = 1, small = 1] = [shape[d], x.shape[d]];
      from += Math.floor((rest % large) / (large / small)) * stride;
      rest = Math.floor(rest / large);
      stride *= small;
    }
    return from;
  };
  return tensor64(shape, (i) => at(x, source(i)));
}

const images: [string, number[], number][] = [
  ['one pixel', [1, 1, 1, 1], 2],
  ['7 channels, factor 3', [2, 3, 5, 7], 3],
  ['33 channels', [2, 5, 3, 33], 2],
  ['64 channels', [3, 4, 4, 64], 2],
  ['factor 1', [2, 3, 3, 5], 1],
  ['more than one task', [1, 16, 16, 20], 2],
];

/** Op cases of `upsampleNearest`, and of its kernel on sequences and volumes. */
export const upsampleNearestCases: readonly OpCase[] = [
  ...images.map(([what, shape, factor]) =>
    typedCase({
      name: `upsampleNearest, ${what}`,
      inputs: { x: { shape } },
      build: ({ x }) => ({ y: upsampleNearest(x, factor) }),
      reference: ({ x }) => {
        const [N = 0, H = 0, W = 0, C = 0] = x.shape;
        return { y: repeat(x, [N, factor * H, factor * W, C]) };
      },
    }),
  ),
  ...(
    [
      ['a sequence', [2, 5, 6], [2, 20, 6]],
      ['a volume, each direction by another factor', [2, 2, 3, 4, 5], [2, 4, 3, 12, 5]],
    ] as const
  ).map(([what, shape, large]) =>
    typedCase({
      name: `upsample_nearest_forward, ${what}`,
      inputs: { x: { shape } },
      build: ({ x }) => emit({ kernel: 'upsample_nearest_forward', outputs: { y: large }, inputs: { x } }),
      reference: ({ x }) => ({ y: repeat(x, large) }),
      gradients: [],
    }),
  ),
];
