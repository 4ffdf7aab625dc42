import { type Attribute, emit, expectShape, type Value } from '../graph.ts';

/** Numbers of a sample's noise level that {@link selfConditioning} takes. */
export const ESTIMATE_COLUMNS = 2;

/** Options of {@link selfConditioning}. */
export interface SelfConditioningOptions {
  /** Bound of the estimate, above 0; Infinity does not clip. */
  readonly clip: number;
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
}

/**
 * What a self-conditioned network is told in training: its estimate of the clean data from a first pass for half of the samples, zeros
 * for the others. No gradient goes through it. Chen et al. 2022, arXiv:2208.04202, algorithm 1.
 *
 * @param xt float32 [N, ..., C], what the network saw
 * @param prediction float32, the shape of xt
 * @param coefficients float32 [N, 2], x0FromX and x0FromPrediction of each sample's level
 * @returns float32, the shape of xt
 */
export function selfConditioning(
  xt: Value,
  prediction: Value,
  coefficients: Value,
  { clip, ...stream }: SelfConditioningOptions,
): Value {
  expectShape('prediction of selfConditioning', prediction.shape, xt.shape);
  expectShape('coefficients of selfConditioning', coefficients.shape, [xt.shape[0] ?? 0, ESTIMATE_COLUMNS]);
  return emit({
    kernel: 'self_conditioning',
    outputs: { estimate: xt.shape },
    inputs: { xt, prediction, coefficients },
    attributes: { clip, ...stream },
    stopsGradient: true,
  }).estimate;
}
