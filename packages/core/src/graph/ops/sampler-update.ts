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
  /** Default 0. */
  readonly coefficientHistory?: Attribute;
  /** Default 0. */
  readonly coefficientOlder?: Attribute;
  readonly coefficientNoise: Attribute;
  /** Factors of x and x0 in what the next step finds as history; default 0 and 1, x0 itself. */
  readonly historyFromX?: Attribute;
  readonly historyFromX0?: Attribute;
  /** Logarithms of the variance where `variance` is -1 and 1; default 0. */
  readonly logVarianceLow?: Attribute;
  readonly logVarianceHigh?: Attribute;
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
  /** What the step before left as history; absent counts as zero. */
  readonly history?: Value | undefined;
  /** What the step before found as history; absent counts as zero. */
  readonly older?: Value | undefined;
  /** Noise to use instead of Philox's. */
  readonly noise?: Value | undefined;
  /** What the network says of the variance, -1 … 1; absent where it says nothing. */
  readonly variance?: Value | undefined;
  /** External values to change in place. */
  readonly into?:
    | {
        readonly xNext?: Value | undefined;
        readonly x0?: Value | undefined;
        readonly historyNext?: Value | undefined;
        readonly olderNext?: Value | undefined;
      }
    | undefined;
}

const defaults = {
  coefficientHistory: 0,
  coefficientOlder: 0,
  historyFromX: 0,
  historyFromX0: 1,
  logVarianceLow: 0,
  logVarianceHigh: 0,
} as const;

/**
 * One step of any sampler: `x0 = clamp(x0FromX x + x0FromPrediction prediction, -clip, clip)`, then
 * `xNext = cX x + cX0 x0 + cPrediction prediction + cHistory history + cOlder older + cNoise z`, z standard normal, times the
 * predicted deviation where `variance` is given.
 *
 * @returns `xNext` and the estimate `x0`, float32, the shape of x
 */
export function samplerUpdate(
  tensors: SamplerUpdateTensors,
  options: SamplerUpdateOptions,
): { xNext: Value; x0: Value } {
  const { x, prediction, history, older, noise, variance, into } = tensors;
  for (const [name, value] of Object.entries({ prediction, history, older, noise, variance })) {
    if (value) expectShape(`${name} of samplerUpdate`, value.shape, x.shape);
  }
  return emit({
    kernel: 'sampler_update',
    outputs: {
      xNext: into?.xNext ?? x.shape,
      x0: into?.x0 ?? x.shape,
      historyNext: into?.historyNext,
      olderNext: into?.olderNext,
    },
    inputs: { x, prediction, history, older, noise, variance },
    attributes: { ...defaults, ...options },
  });
}
