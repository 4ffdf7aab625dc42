import { emit, groupNorm, momentChunks } from '@diffuse/core';
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

/** First value, mean less that, and sum of squared deviations of every channel over every chunk of pixels. */
function moments64(x: Tensor64, chunk: number): Tensor64 {
  const { N, P, C } = sizesOf(x);
  const chunks = Math.ceil(P / chunk);
  return tensor64([N, chunks, 3, C], (i) => {
    const [n, q, which, c] = [
      Math.floor(i / (chunks * 3 * C)),
      Math.floor(i / (3 * C)) % chunks,
      Math.floor(i / C) % 3,
      i % C,
    ];
    const values: number[] = [];
    for (let p = q * chunk; p < Math.min(P, (q + 1) * chunk); p++) values.push(at(x, (n * P + p) * C + c));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const first = values[0] as number;
    return [first, mean - first, values.reduce((sum, value) => sum + (value - mean) ** 2, 0)][which] as number;
  });
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
        const { chunk, pixels, moments: momentsShape } = momentChunks(shape);
        const moments = emit({
          kernel: 'channel_moments',
          outputs: { moments: momentsShape },
          inputs: { x },
          attributes: { chunk },
        });
        return emit({
          kernel: 'group_norm_statistics',
          outputs: { mean: size, rstd: size },
          inputs: moments,
          attributes: { eps, pixels, chunk },
        });
      },
      reference: ({ x }) => ({ ...statistics(x, groups, eps) }),
      tolerance: 1e-6,
      gradients: [],
    }),
  ),
  ...[64, 100, 1000].map((chunk) =>
    typedCase({
      name: `channel_moments, chunks of ${chunk} pixels`,
      inputs: { x: { shape: [2, 25, 40, 33], values: (i) => 3 + Math.sin(i * i) } },
      build: ({ x }) =>
        emit({
          kernel: 'channel_moments',
          outputs: { moments: [2, Math.ceil(1000 / chunk), 3, 33] },
          inputs: { x },
          attributes: { chunk },
        }),
      reference: ({ x }) => ({ moments: moments64(x, chunk) }),
      gradients: [],
    }),
  ),
];
