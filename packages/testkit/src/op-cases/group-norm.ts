import { emit, groupNorm } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { at, sizesOf, typedCase } from './typed-case.ts';

/** Mean and 1 / sqrt(variance + eps) of every group, in two passes. */
function statistics(x: Tensor64, G: number, eps: number): { mean: Tensor64; rstd: Tensor64 } {
  const { N, P, C } = sizesOf(x);
  const group = (i: number): number => Math.floor(i / (P * C)) * G + Math.floor((i % C) / (C / G));
  const M = (P * C) / G;
  const mean = tensor64([N, G], () => 0);
  const square = tensor64([N, G], () => 0);
  x.data.forEach((value, i) => {
    mean.data[group(i)] = at(mean, group(i)) + value / M;
  });
  x.data.forEach((value, i) => {
    square.data[group(i)] = at(square, group(i)) + (value - at(mean, group(i))) ** 2 / M;
  });
  return { mean, rstd: tensor64([N, G], (i) => 1 / Math.sqrt(at(square, i) + eps)) };
}

function normalise(x: Tensor64, gamma: Tensor64, beta: Tensor64, G: number, eps: number, silu: boolean): Tensor64 {
  const { P, C } = sizesOf(x);
  const { mean, rstd } = statistics(x, G, eps);
  return tensor64(x.shape, (i) => {
    const c = i % C;
    const group = Math.floor(i / (P * C)) * G + Math.floor(c / (C / G));
    const z = (at(x, i) - at(mean, group)) * at(rstd, group) * at(gamma, c) + at(beta, c);
    return silu ? z / (1 + Math.exp(-z)) : z;
  });
}

const shapes: [string, number[], number][] = [
  ['one group of all channels', [2, 3, 5, 7], 1],
  ['one channel a group', [2, 5, 3, 33], 33],
  ['groups narrower than a vector', [3, 4, 4, 64], 16],
  ['groups across vectors', [2, 3, 3, 60], 4],
  ['groups wider than a slab', [1, 3, 3, 600], 2],
  ['vectors of channels without pixels', [3, 40], 5],
  ['blocks of pixels', [2, 11, 13, 32], 8],
];

const eps = 1e-5;

/** Op cases of `groupNorm`, with and without SiLU, and of its statistics alone. */
export const groupNormCases: readonly OpCase[] = [
  ...[false, true].flatMap((silu) =>
    shapes.map(([what, shape, groups]) => {
      const C = shape.at(-1) as number;
      return typedCase({
        name: `groupNorm${silu ? ' with SiLU' : ''}, ${what}`,
        inputs: { x: { shape }, gamma: { shape: [C] }, beta: { shape: [C] } },
        build: ({ x, gamma, beta }) => ({ y: groupNorm(x, gamma, beta, { groups, eps, silu }) }),
        reference: ({ x, gamma, beta }) => ({ y: normalise(x, gamma, beta, groups, eps, silu) }),
      });
    }),
  ),
  ...[...shapes, ['chunks of pixels', [2, 40, 50, 36], 6] as const].map(([what, shape, groups]) =>
    typedCase({
      name: `group_norm_statistics, ${what}, mean 1000 times the deviation`,
      inputs: { x: { shape, values: (i) => 1000 + Math.sin(i * i) } },
      build: ({ x }) => {
        const size = [shape[0] as number, groups];
        const attributes = { groups, eps };
        return emit({
          kernel: 'group_norm_statistics',
          outputs: { mean: size, rstd: size },
          inputs: { x },
          attributes,
        });
      },
      reference: ({ x }) => ({ ...statistics(x, groups, eps) }),
      tolerance: 1e-6,
      gradients: [],
    }),
  ),
];
