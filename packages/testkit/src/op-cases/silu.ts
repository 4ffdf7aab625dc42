import { silu } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';

const reference = ({ x }: Readonly<Record<string, Tensor64>>): Record<string, Tensor64> => {
  const { shape, data } = x as Tensor64;
  return { y: tensor64(shape, (i) => (data[i] ?? 0) / (1 + Math.exp(-(data[i] ?? 0)))) };
};

const shapes: [string, number[]][] = [
  ['one element', [1]],
  ['7 channels', [2, 3, 7]],
  ['33 channels', [2, 5, 3, 33]],
  ['64 channels', [3, 4, 4, 64]],
];

/** Op cases of `silu`. */
export const siluCases: readonly OpCase[] = [
  ...shapes.map(
    ([what, shape]): OpCase => ({
      name: `silu, ${what}`,
      inputs: { x: { shape } },
      build: ({ x }) => ({ y: silu(x as NonNullable<typeof x>) }),
      reference,
    }),
  ),
  {
    name: 'silu, large arguments',
    inputs: { x: { shape: [64], values: (i) => (i - 32) * 4 } },
    build: ({ x }) => ({ y: silu(x as NonNullable<typeof x>) }),
    reference,
  },
];
