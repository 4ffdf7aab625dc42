import { type Attribute, emit, expectShape, type Value } from '../graph.ts';

/** Numbers of {@link samplerUpdate}: a row of a sampler's table, and where its noise comes from. */
export interface SamplerUpdateOptions {
  readonly x0FromX: Attribute;
  readonly x0FromPrediction: Attribute;
  /** Bound of the estimate of x0; infinity does not clip. */
  readonly clip: Attribute;
  readonly coefficientX: Attribute;
  readonly coefficientX0: Attribute;
  readonly coefficientPrediction: Attribute;
  readonly coefficientHistory: Attribute;
  readonly coefficientNoise: Attribute;
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
}

/** Tensors of {@link samplerUpdate}. */
export interface SamplerUpdateTensors {
  /** The sample so far, float32 [N, ..., C]. */
  readonly x: Value;
  /** What the network says, of the same shape. */
  readonly prediction: Value;
  /** The estimate of x0 of the step before; absent counts as zero. */
  readonly history?: Value | undefined;
  /** Noise to use instead of Philox's. */
  readonly noise?: Value | undefined;
  /** External values to change in place; each may be the same as `x` or `history`. */
  readonly into?: { readonly xNext: Value; readonly x0: Value } | undefined;
}

/**
 * One step of any sampler: `x0 = clamp(x0FromX x + x0FromPrediction prediction, -clip, clip)`, then
 * `xNext = cX x + cX0 x0 + cPrediction prediction + cHistory history + cNoise z`, z standard normal.
 *
 * @returns `xNext` and the estimate `x0`, float32, the shape of x
 */
export function samplerUpdate(
  tensors: SamplerUpdateTensors,
  options: SamplerUpdateOptions,
): { xNext: Value; x0: Value } {
  const { x, prediction, history, noise, into } = tensors;
  for (const [name, value] of Object.entries({ prediction, history, noise })) {
    if (value) expectShape(`${name} of samplerUpdate`, value.shape, x.shape);
  }
  return emit({
    kernel: 'sampler_update',
    outputs: { xNext: into?.xNext ?? x.shape, x0: into?.x0 ?? x.shape },
    inputs: { x, prediction, history, noise },
    attributes: { ...options },
  });
}
