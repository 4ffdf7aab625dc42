import { fourierEmbedding, type TimeEmbeddingOptions, timeEmbedding } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

/** Sines and cosines of `angle(n, i)`, i < K, in the order of the options, with a zero behind where the width is odd. */
function waves(N: number, width: number, cosinesFirst: boolean, angle: (n: number, i: number) => number): Tensor64 {
  const K = Math.floor(width / 2);
  return tensor64([N, width], (index) => {
    const [n, c] = [Math.floor(index / width), index % width];
    if (c >= 2 * K) return 0;
    const isCosine = c >= K !== cosinesFirst;
    return isCosine ? Math.cos(angle(n, c % K)) : Math.sin(angle(n, c % K));
  });
}

const timesteps = [0, 1, 7.5, 500, 999, 3999];

const embeddings: [string, Required<TimeEmbeddingOptions>][] = [
  ['as in DDPM', { dimension: 128, frequencyShift: 1, flipSinToCos: false, maxPeriod: 10_000 }],
  ["diffusers' default", { dimension: 32, frequencyShift: 0, flipSinToCos: true, maxPeriod: 10_000 }],
  ['odd width', { dimension: 33, frequencyShift: 0, flipSinToCos: false, maxPeriod: 100 }],
  ['width 1', { dimension: 1, frequencyShift: 0, flipSinToCos: true, maxPeriod: 100 }],
];

/** Op cases of `timeEmbedding`. */
export const timeEmbeddingCases: readonly OpCase[] = embeddings.map(([what, options]) =>
  typedCase({
    name: `timeEmbedding, ${what}`,
    inputs: { t: { shape: [timesteps.length], values: (n) => timesteps[n] as number } },
    build: ({ t }) => ({ y: timeEmbedding(t, options) }),
    reference: ({ t }) => {
      const { dimension, frequencyShift, flipSinToCos, maxPeriod } = options;
      const slowest = Math.floor(dimension / 2) - frequencyShift;
      return {
        y: waves(timesteps.length, dimension, flipSinToCos, (n, i) => at(t, n) * maxPeriod ** (-i / slowest)),
      };
    },
    tolerance: 1e-7,
    gradients: [],
  }),
);

/** Op cases of `fourierEmbedding`. */
export const fourierEmbeddingCases: readonly OpCase[] = [false, true].map((flipSinToCos) =>
  typedCase({
    name: `fourierEmbedding, ${flipSinToCos ? 'cosines' : 'sines'} first`,
    inputs: { t: { shape: [5], values: (n) => 0.002 * 15 ** n }, f: { shape: [17] } },
    build: ({ t, f }) => ({ y: fourierEmbedding(t, f, { flipSinToCos }) }),
    reference: ({ t, f }) => ({
      y: waves(5, 34, flipSinToCos, (n, i) => 2 * Math.PI * at(f, i) * Math.log(at(t, n))),
    }),
    tolerance: 1e-7,
    gradients: [],
  }),
);
