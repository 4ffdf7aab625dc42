import { matmul } from '@diffuse/core';
import type { OpCase, Tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

interface Transposes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** `c[m, n] = Σ_k op(a)[m, k] op(b)[k, n]`. */
function reference(a: Tensor64, b: Tensor64, M: number, N: number, K: number, transposes: Transposes): Tensor64 {
  const data = Float64Array.from({ length: M * N }, (_, index) => {
    const [m, n] = [Math.floor(index / N), index % N];
    let sum = 0;
    for (let k = 0; k < K; k++) {
      sum +=
        at(a, transposes.transposeA ? k * M + m : m * K + k) * at(b, transposes.transposeB ? n * K + k : k * N + n);
    }
    return sum;
  });
  return { shape: [M, N], data };
}

const sizes: readonly (readonly [what: string, M: number, N: number, K: number])[] = [
  ['one number', 1, 1, 1],
  ['primes', 7, 11, 13],
  ['one more than tiles, panels and blocks', 15, 33, 17],
  ['several tiles and panels', 43, 72, 40],
];

/** Op cases of `matmul`, all four ways of storing the factors. */
export const matmulCases: readonly OpCase[] = sizes.flatMap(([what, M, N, K]) =>
  [false, true].flatMap((transposeA) =>
    [false, true].map((transposeB) =>
      typedCase({
        name: `matmul, ${what}${transposeA ? ', first transposed' : ''}${transposeB ? ', second transposed' : ''}`,
        inputs: { a: { shape: transposeA ? [K, M] : [M, K] }, b: { shape: transposeB ? [N, K] : [K, N] } },
        build: ({ a, b }) => ({ c: matmul(a, b, { transposeA, transposeB }) }),
        reference: ({ a, b }) => ({ c: reference(a, b, M, N, K, { transposeA, transposeB }) }),
      }),
    ),
  ),
);
