import type { Attribute, Value } from '../graph/graph.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import type { ModelWeights } from './weights.ts';

/** Where dropout takes its randomness from: the same seed, step and sample give the same mask on every device. */
export interface Randomness {
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  /** Training step. */
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
}

/** What a network is applied to. */
export interface ModelInputs {
  /** Noisy samples, float32 [N, ...shape]. */
  readonly x: Value;
  /** Timestep of each sample, float32 [N], `0 … T - 1`. */
  readonly t: Value;
  /** Class of each sample, int32 [N]; for class-conditional models only. */
  readonly labels?: Value | undefined;
  /** The parameter of that name. */
  readonly parameter: (name: string) => Value;
  /** Given while training; without it dropout does nothing. */
  readonly randomness?: Randomness | undefined;
}

/**
 * A denoising network: a list of parameters and a function that builds its graph. A new architecture is one such object; its
 * gradients, memory plan, training, sampling and checkpoints follow.
 */
export interface Model {
  /** Shape of one sample, without the batch: [height, width, channels]. */
  readonly shape: readonly [height: number, width: number, channels: number];
  /** Number of classes that the model is told, or null. */
  readonly classes: number | null;
  /** In the order in which they lie in memory and in files. */
  readonly parameters: readonly ParameterLayout[];
  /** Names of parameters that training leaves alone. */
  readonly frozen: ReadonlySet<string>;
  /** The weights, once the model was trained, loaded or initialised. */
  weights: ModelWeights | undefined;
  /**
   * Builds the forward pass.
   *
   * @returns the prediction, float32 [N, ...shape].
   */
  forward(inputs: ModelInputs): Value;
}
