import { type AttentionOptions, attention, type Value } from '@diffuse/core';
import { type CaseInput, type OpCase, type Tensor64, tensor64 } from '../op-case.ts';

type Inputs<T> = Readonly<Record<string, T>>;

/** `y_i = Σ_j exp(x_ij - max_j x_ij) v_j / Σ_j exp(x_ij - max_j x_ij)`, `x_ij = scale q_i · k_j`, one head after the other. */
const reference =
  ({ heads = 1, scale }: AttentionOptions) =>
  (inputs: Inputs<Tensor64>): Record<string, Tensor64> => {
    const [q, k, v] = ['q', 'k', 'v'].map((name) => (inputs[name] as Tensor64).data) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const { shape } = inputs.q as Tensor64;
    const [N = 1, S = 1, C = 1] = shape;
    const D = C / heads;
    const factor = scale ?? 1 / Math.sqrt(D);
    const y = new Float64Array(q.length);
    const x = new Float64Array(S);
    for (let n = 0; n < N; n++) {
      for (let channel = 0; channel < C; channel += D) {
        const at = (position: number): number => (n * S + position) * C + channel;
        for (let i = 0; i < S; i++) {
          for (let j = 0; j < S; j++) {
            let dot = 0;
            for (let d = 0; d < D; d++) dot += (q[at(i) + d] ?? 0) * (k[at(j) + d] ?? 0);
            x[j] = factor * dot;
          }
          const largest = x.reduce((a, b) => Math.max(a, b));
          const sum = x.reduce((total, value) => total + Math.exp(value - largest), 0);
          for (let j = 0; j < S; j++) {
            const p = Math.exp((x[j] ?? 0) - largest) / sum;
            for (let d = 0; d < D; d++) y[at(i) + d] = (y[at(i) + d] ?? 0) + p * (v[at(j) + d] ?? 0);
          }
        }
      }
    }
    return { y: tensor64(shape, (i) => y[i] ?? 0) };
  };

interface Options extends AttentionOptions {
  readonly q?: CaseInput['values'];
  readonly k?: CaseInput['values'];
  readonly tolerance?: number;
  readonly gradients?: readonly string[];
}

const attentionCase = (
  what: string,
  shape: readonly [number, number, number],
  { q, k, tolerance, gradients, ...options }: Options = {},
): OpCase => ({
  name: `attention, ${what}`,
  inputs: { q: { shape, ...(q && { values: q }) }, k: { shape, ...(k && { values: k }) }, v: { shape } },
  build: (inputs) => ({ y: attention(inputs.q as Value, inputs.k as Value, inputs.v as Value, options) }),
  reference: reference(options),
  ...(tolerance !== undefined && { tolerance }),
  ...(gradients && { gradients }),
});

/** Op cases of `attention`. */
export const attentionCases: readonly OpCase[] = [
  // A single position attends to itself alone, so nothing depends on q and k.
  attentionCase('one position', [2, 1, 6], { heads: 2, gradients: ['v'] }),
  attentionCase('one channel a head', [2, 5, 3], { heads: 3 }),
  attentionCase('prime sizes', [3, 7, 13]),
  attentionCase('4 x 4 pixels, heads of 8', [2, 16, 24], { heads: 3 }),
  attentionCase('tiles of rows, the last with 3', [1, 67, 20], { heads: 2 }),
  attentionCase('more heads than threads, two tiles each', [5, 70, 8], { heads: 2 }),
  attentionCase('more positions than one chunk of a sum', [1, 261, 3]),
  attentionCase('more channels than one chunk of a sum', [1, 3, 300]),
  attentionCase('another scale', [2, 9, 8], { scale: 0.05 }),
  // Every position attends to all others alike: y is the mean of v, whatever q is.
  attentionCase('equal keys', [2, 33, 8], { k: (i) => i % 8, gradients: ['k', 'v'] }),
  // Logits near ±80, a few apart. Rounding one to float32 changes its exponential by up to 4e-6.
  attentionCase('large logits', [1, 12, 4], {
    q: (i) => (i % 4 > 0 ? Math.sin(i) : i % 8 > 0 ? 80 : -80),
    k: (i) => (i % 4 > 0 ? Math.sin(3 * i) : 1),
    scale: 1,
    tolerance: 1e-5,
  }),
  // Logits from -800 to 800: all but the largest of a row underflow, and so do the gradients of q and k.
  attentionCase('logits far apart', [1, 12, 4], { q: (i) => i % 7, k: (i) => 15 * ((i % 5) - 2), gradients: ['v'] }),
];
