import { DiffuseError } from '../../native/errors.ts';
import { emit, expectShape, type Value } from '../graph.ts';

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** Number of heads; must divide the channels. */
  readonly heads?: number;
  /** Factor of the products of queries and keys; default 1 / sqrt(channels of a head). */
  readonly scale?: number;
}

/**
 * Scaled dot-product attention, per head `y = softmax(scale * q kᵀ) v`, softmax in float32. Vaswani et al. 2017, arXiv:1706.03762,
 * eq. (1). Forward keeps one number a row, the logarithm of the softmax's denominator; the backward pass recomputes the rest
 * (Dao et al. 2022, arXiv:2205.14135, algorithm 4).
 *
 * @param q float32 [N, S, C]
 * @param k float32 [N, S, C]
 * @param v float32 [N, S, C]
 * @returns float32 [N, S, C]
 */
export function attention(q: Value, k: Value, v: Value, { heads = 1, scale }: AttentionOptions = {}): Value {
  const [batch = 0, tokens = 0, channels = 0] = q.shape;
  expectShape('keys of attention', k.shape, q.shape);
  expectShape('values of attention', v.shape, q.shape);
  if (q.shape.length !== 3 || !Number.isInteger(heads) || heads < 1 || channels % heads !== 0) {
    throw new DiffuseError('ERR_SHAPE', `attention: ${heads} heads do not divide ${channels} channels of [N, S, C]`);
  }
  const attributes = { heads, scale: scale ?? 1 / Math.sqrt(channels / heads) };
  const forward: Record<'y' | 'logSumExp', Value> = emit({
    kernel: 'attention_forward',
    outputs: { y: q.shape, logSumExp: [batch, heads, tokens] },
    inputs: { q, k, v },
    attributes,
    gradient: ({ y: dy }) => {
      if (!dy) return {};
      const { dq, dk, dv } = emit({
        kernel: 'attention_backward',
        outputs: { dq: q.shape, dk: k.shape, dv: v.shape },
        inputs: { dy, y: forward.y, logSumExp: forward.logSumExp, q, k, v },
        attributes,
      });
      return { q: dq, k: dk, v: dv };
    },
  });
  return forward.y;
}
