import { tokenNoising } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { referenceUniform } from './random-reference.ts';
import { at, typedCase } from './typed-case.ts';

const T = 50;
const stream = { seedLow: 7, seedHigh: 0, step: 12, sampleOffset: 3 };

const variants: readonly { what: string; N: number; L: number; states: number; mask: number | null }[] = [
  { what: 'one token, uniform', N: 1, L: 1, states: 2, mask: null },
  { what: 'uniform', N: 9, L: 13, states: 5, mask: null },
  { what: 'absorbing', N: 9, L: 13, states: 6, mask: 5 },
  { what: 'more than one task, absorbing', N: 40, L: 64, states: 28, mask: 27 },
];

/** Op cases of `tokenNoising`. */
export const tokenNoisingCases: readonly OpCase[] = variants.map(({ what, N, L, states, mask }) =>
  typedCase({
    name: `tokenNoising, ${what}`,
    inputs: {
      tokens: { shape: [N, L], dtype: 'i32', values: (i) => (3 * i) % (mask ?? states) },
      keep: { shape: [T], values: (t) => 1 - (t + 1) / T },
    },
    build: ({ tokens, keep }) => ({ ...tokenNoising(tokens, keep, { ...stream, states, mask }) }),
    reference: ({ tokens, keep }) => {
      const timestep = tensor64([N], (n) => Math.floor(T * at(referenceUniform([N, 1], { ...stream, purpose: 2 }), n)));
      const uniform = referenceUniform([N, 2 * L], { ...stream, purpose: 3 });
      const xt = tensor64([N, L, states], (i) => {
        const token = Math.floor(i / states);
        const isLost = at(uniform, 2 * token) >= at(keep, at(timestep, Math.floor(token / L)));
        const elsewhere = mask ?? Math.floor(states * at(uniform, 2 * token + 1));
        return Number(i % states === (isLost ? elsewhere : at(tokens, token)));
      });
      return { xt, timestep };
    },
    gradients: [],
    tolerance: 0,
  }),
);
