import { discreteDiffusion, tokenDenoisingLoss } from '@diffuse/core';
import { type OpCase, type Tensor64, tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

const variants = [
  { what: 'absorbing', transition: 'absorbing', N: 3, L: 5, K: 4, T: 10 },
  { what: 'uniform', transition: 'uniform', N: 3, L: 5, K: 4, T: 10 },
  { what: 'two kinds, one step, uniform', transition: 'uniform', N: 2, L: 3, K: 2, T: 1 },
  { what: 'more than one task, uniform', transition: 'uniform', N: 6, L: 40, K: 27, T: 100 },
  { what: 'more than one task, absorbing', transition: 'absorbing', N: 6, L: 40, K: 27, T: 100 },
] as const;

/** Op cases of `tokenDenoisingLoss`, against the matrices of `discreteDiffusion`. */
export const tokenDenoisingLossCases: readonly OpCase[] = variants.map(({ what, transition, N, L, K, T }) => {
  const { keep: keepOf, states: S } = discreteDiffusion({ tokens: K, transition, steps: T });
  const keep = Float64Array.from(keepOf, Math.fround);
  const crossEntropyWeight = 0.3;
  const timestepOf = (n: number): number => (n === 0 ? 0 : (n * 7) % T);
  const tokenOf = (m: number): number => (3 * m) % K;
  // Every other token is lost, to the mask or to its neighbour; after the last step of `absorbing`, all are.
  const stateOf = (m: number): number => {
    const isLost = m % 2 === 1 || keep[timestepOf(Math.floor(m / L))] === 0;
    return isLost ? (S > K ? K : (tokenOf(m) + 1) % K) : tokenOf(m);
  };
  return typedCase({
    name: `tokenDenoisingLoss, ${what}`,
    inputs: {
      logits: { shape: [N, L, K] },
      tokens: { shape: [N, L], dtype: 'i32', values: tokenOf },
      xt: { shape: [N, L, S], values: (i) => Number(i % S === stateOf(Math.floor(i / S))) },
      timestep: { shape: [N], values: timestepOf },
      keep: { shape: [T], values: (t) => keep[t] ?? 0 },
    },
    build: (tensors) => ({ ...tokenDenoisingLoss(tensors, { crossEntropyWeight }) }),
    reference: ({ logits, tokens, timestep }) => {
      const diffusion = discreteDiffusion({ tokens: K, transition, steps: T, keep });
      let [bound, crossEntropy] = [0, 0];
      for (let m = 0; m < N * L; m++) {
        const t = at(timestep, Math.floor(m / L));
        const p = softmax(logits, m, K);
        const truth = diffusion.posterior(stateOf(m), at(tokens, m), t);
        const guess = diffusion.reverse(stateOf(m), p, t);
        truth.forEach((q, state) => {
          if (q > 0) bound += (T * q * Math.log(q / (guess[state] as number))) / (N * L);
        });
        crossEntropy -= Math.log(p[at(tokens, m)] as number) / (N * L);
      }
      const number = (value: number): Tensor64 => tensor64([1], () => value);
      return {
        loss: number(bound + crossEntropyWeight * crossEntropy),
        bound: number(bound),
        crossEntropy: number(crossEntropy),
      };
    },
    gradients: ['logits'],
    differentiable: ['loss'],
  });
});

function softmax(logits: Tensor64, row: number, K: number): Float64Array {
  const values = logits.data.subarray(row * K, (row + 1) * K).map(Math.exp);
  const sum = values.reduce((total, value) => total + value, 0);
  return values.map((value) => value / sum);
}
