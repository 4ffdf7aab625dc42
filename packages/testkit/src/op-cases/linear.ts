import { linear, type Shape } from '@diffuse/core';
import type { OpCase, Tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

/** `y[m, k] = bias[k] + Σ_c x[m, c] weight[c, k]`. */
function reference(x: Tensor64, weight: Tensor64, bias?: Tensor64): Tensor64 {
  const [C = 0, K = 0] = weight.shape;
  const data = Float64Array.from({ length: (x.data.length / C) * K }, (_, index) => {
    const [m, k] = [Math.floor(index / K), index % K];
    let sum = bias ? at(bias, k) : 0;
    for (let c = 0; c < C; c++) sum += at(x, m * C + c) * at(weight, c * K + k);
    return sum;
  });
  return { shape: [...x.shape.slice(0, -1), K], data };
}

const linearCase = (what: string, shape: Shape, outputs: number): OpCase =>
  typedCase({
    name: `linear, ${what}`,
    inputs: { x: { shape }, weight: { shape: [shape.at(-1) ?? 0, outputs] }, bias: { shape: [outputs] } },
    build: ({ x, weight, bias }) => ({ y: linear(x, weight, bias) }),
    reference: ({ x, weight, bias }) => ({ y: reference(x, weight, bias) }),
  });

/** Op cases of `linear`: shapes around the edges of tiles (6 and 14 rows), blocks (16 channels) and panels (8 to 32 channels). */
export const linearCases: readonly OpCase[] = [
  linearCase('one number', [1, 1], 1),
  linearCase('one row', [1, 37], 64),
  linearCase('a vector', [19], 5),
  linearCase('primes', [2, 7, 13], 11),
  linearCase('one row more than a tile', [15, 16], 32),
  linearCase('tails of blocks and panels', [3, 5, 17], 33),
  linearCase('images', [2, 3, 4, 24], 40),
  linearCase('several strips and parts', [1300, 3], 5),
  linearCase('more channels than one strip holds', [3, 1030], 4),
  typedCase({
    name: 'linear, without bias',
    inputs: { x: { shape: [2, 9, 8] }, weight: { shape: [8, 20] } },
    build: ({ x, weight }) => ({ y: linear(x, weight) }),
    reference: ({ x, weight }) => ({ y: reference(x, weight) }),
  }),
];
