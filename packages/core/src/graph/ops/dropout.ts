import { DiffuseError } from '../../native/errors.ts';
import { type Attribute, emit, type Value } from '../graph.ts';

/** Options of {@link dropout}. */
export interface DropoutOptions {
  /** Share of the elements set to zero, in [0, 1). */
  readonly probability: number;
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
  /** Number of the dropout layer in the network. */
  readonly layer: number;
}

/**
 * Sets elements to zero with the given probability and scales the others by 1 / (1 - probability). The mask comes from Philox, so
 * the gradient is the same op on the gradient, and nothing is kept. Srivastava et al. 2014.
 *
 * @param x float32 [N, ..., C]
 */
export function dropout(x: Value, options: DropoutOptions): Value {
  const { probability } = options;
  if (!(probability >= 0 && probability < 1)) {
    throw new DiffuseError('ERR_ARGUMENT', `dropout: the probability is ${probability}; it must be in [0, 1)`);
  }
  return emit({
    kernel: 'dropout',
    outputs: { y: x.shape },
    inputs: { x },
    attributes: { ...options },
    recompute: true,
    gradient: ({ y: dy }) => ({ x: dy && dropout(dy, options) }),
  }).y;
}
