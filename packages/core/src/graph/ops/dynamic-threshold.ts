import { type Attribute, emit, expectShape, type Value } from '../graph.ts';

/** Numbers of {@link dynamicThreshold}. */
export interface DynamicThresholdOptions {
  /** Factor of x in the estimate. */
  readonly x0FromX: Attribute;
  /** Factor of the prediction in the estimate. */
  readonly x0FromPrediction: Attribute;
  /** Share of the elements whose size sets the bound, in [0, 1]. */
  readonly quantile: Attribute;
  /** Largest bound, at least 1; infinity for none. */
  readonly max: Attribute;
}

/**
 * The estimate of clean images with their saturated pixels pulled inwards (Saharia et al. 2022, section 2.3, arXiv:2205.11487): for
 * each sample, `raw = x0FromX x + x0FromPrediction prediction`, `s = min(max(quantile of |raw|, 1), max)`,
 * `x0 = clamp(raw, -s, s) / s`, in [-1, 1]. The quantile is exact, linear between neighbours as NumPy's and PyTorch's. Without a
 * gradient.
 *
 * @param x the noisy samples, float32 [N, ..., C]
 * @param prediction what the network says, of the same shape
 * @returns float32, the shape of x
 */
export function dynamicThreshold(x: Value, prediction: Value, options: DynamicThresholdOptions): Value {
  expectShape('prediction of dynamicThreshold', prediction.shape, x.shape);
  return emit({
    kernel: 'dynamic_threshold',
    outputs: { x0: x.shape },
    inputs: { x, prediction },
    attributes: { ...options },
  }).x0;
}
