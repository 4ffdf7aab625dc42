import { type Attribute, emit, expectShape, type Value } from '../graph.ts';

/**
 * Length of a flat gradient, sqrt(sum of squares), summed in float64 in a fixed order.
 *
 * @param gradient float32 [P]
 * @returns float32 [1]
 */
export function gradientNorm(gradient: Value): Value {
  return emit({ kernel: 'gradient_norm', outputs: { norm: [1] }, inputs: { gradient } }).norm;
}

/** Tensors of {@link adamwEma}, all external values of one shape [P] but `norm` [1]. */
export interface AdamwEmaTensors {
  readonly parameter: Value;
  readonly firstMoment: Value;
  readonly secondMoment: Value;
  readonly ema?: Value | undefined;
  readonly gradient: Value;
  /** Length of `gradient`, from {@link gradientNorm}. */
  readonly norm: Value;
}

/** Numbers of {@link adamwEma}. */
export interface AdamwEmaOptions {
  readonly learningRate: Attribute;
  readonly beta1: Attribute;
  readonly beta2: Attribute;
  readonly epsilon: Attribute;
  readonly weightDecay: Attribute;
  /** 1 - beta1^t, t steps done with this one. */
  readonly biasCorrection1: Attribute;
  /** 1 - beta2^t */
  readonly biasCorrection2: Attribute;
  /** Largest length of the scaled gradient; 0 turns clipping off. */
  readonly clipNorm: Attribute;
  readonly emaDecay: Attribute;
  /** Factor of the gradient before clipping: 1 over the number of accumulated batches. */
  readonly gradientScale: Attribute;
}

/**
 * Clips the gradient, takes a step of AdamW and moves the average of the weights, in one pass and in place. Where `norm` is not finite
 * nothing is changed. Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; clipping after Pascanu et al. 2013.
 */
export function adamwEma(tensors: AdamwEmaTensors, options: AdamwEmaOptions): void {
  const { parameter, firstMoment, secondMoment, ema, gradient, norm } = tensors;
  for (const [name, value] of Object.entries({ firstMoment, secondMoment, ema, gradient })) {
    if (value) expectShape(`${name} of adamwEma`, value.shape, parameter.shape);
  }
  emit({
    kernel: 'adamw_ema',
    outputs: { parameter, firstMoment, secondMoment, ema },
    inputs: { gradient, norm },
    attributes: { ...options },
  });
}
