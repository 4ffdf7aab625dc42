import { softmaxCrossEntropy } from '@diffuse/core';
import { type OpCase, tensor64 } from '../op-case.ts';
import { at, typedCase } from './typed-case.ts';

interface Variant {
  readonly what: string;
  /** Leading dimensions, then classes. */
  readonly shape: readonly number[];
  /** The logits; default standard normal. */
  readonly logits?: (index: number) => number;
}

const variants: readonly Variant[] = [
  { what: 'one class', shape: [1, 1] },
  { what: 'ten classes', shape: [37, 10] },
  { what: '257 classes of tokens', shape: [3, 5, 257] },
  { what: 'more than one task', shape: [700, 11] },
  // Float32 exponentials of these would overflow, or leave nothing of the others.
  { what: 'large logits', shape: [6, 7], logits: (i) => (i % 5) * 60 - 200 + i / 10 },
  { what: 'equal logits', shape: [5, 4], logits: () => 2.5 },
];

/** Op cases of `softmaxCrossEntropy`. */
export const softmaxCrossEntropyCases: readonly OpCase[] = variants.map(({ what, shape, logits: values }) => {
  const K = shape.at(-1) as number;
  const leading = shape.slice(0, -1);
  return typedCase({
    name: `softmaxCrossEntropy, ${what}`,
    inputs: {
      logits: { shape, ...(values && { values }) },
      labels: { shape: leading, dtype: 'i32', values: (m) => (m * 7) % K },
    },
    build: ({ logits, labels }) => ({ ...softmaxCrossEntropy(logits, labels) }),
    reference: ({ logits, labels }) => {
      const M = labels.data.length;
      const row = (m: number): Float64Array => logits.data.subarray(m * K, (m + 1) * K);
      const perRow = tensor64(leading, (m) => {
        const largest = Math.max(...row(m));
        const sum = row(m).reduce((total, x) => total + Math.exp(x - largest), 0);
        return largest + Math.log(sum) - at(logits, m * K + at(labels, m));
      });
      const loss = perRow.data.reduce((sum, value) => sum + value / M, 0);
      const correct = tensor64(leading, (m) => Number(row(m).indexOf(Math.max(...row(m))) === at(labels, m)));
      return { loss: tensor64([1], () => loss), perRow, correct };
    },
    gradients: ['logits'],
    differentiable: ['loss'],
  });
});
