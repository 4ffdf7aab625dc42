import { embedding } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

const sizes: [string, number, number, number][] = [
  ['one of one', 1, 1, 1],
  ['33 channels', 7, 3, 33],
  ['600 channels, repeated classes', 64, 11, 600],
];

/** Op cases of `embedding`. */
export const embeddingCases: readonly OpCase[] = sizes.map(([what, N, K, C]) =>
  typedCase({
    name: `embedding, ${what}`,
    inputs: { table: { shape: [K, C] }, index: { shape: [N], dtype: 'i32', values: (n) => (n * 5) % K } },
    build: ({ table, index }) => ({ y: embedding(table, index) }),
    reference: ({ table, index }) => ({
      y: tensor64([N, C], (i) => at(table, at(index, Math.floor(i / C)) * C + (i % C))),
    }),
  }),
);
