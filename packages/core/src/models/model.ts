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

/** The null class in a model's type: a number where its options say `nullClass: true`, null where they do not. */
export type NullClass<Given extends boolean> = Given extends true ? number : null;

/** What a network is applied to. */
export interface ModelInputs {
  /** Noisy samples, float32 [N, ...shape]. */
  readonly x: Value;
  /** Timestep of each sample, float32 [N], `0 … T - 1`. */
  readonly t: Value;
  /** Class of each sample, int32 [N], the null class where the model has one; for class-conditional models only. */
  readonly labels?: Value | undefined;
  /** The parameter of that name. */
  readonly parameter: (name: string) => Value;
  /**
   * What the network itself has estimated of the clean data, float32 [N, ...shape]; for self-conditioned models, zeros where it is
   * absent.
   */
  readonly estimate?: Value | undefined;
  /** Given while training; without it dropout does nothing. */
  readonly randomness?: Randomness | undefined;
}

/** What training changes: named parameters for data of one shape, and their weights once there are some. */
export interface Network {
  /** Shape of one sample, without the batch: [height, width, channels] of images, [length, channels] of signals, [channels] of points. */
  readonly shape: readonly number[];
  /** Number of classes `0 … classes - 1` of the labels that it is concerned with; null: labels are not looked at. */
  readonly classes: number | null;
  /** In the order in which they lie in memory and in files. */
  readonly parameters: readonly ParameterLayout[];
  /** Names of parameters that training leaves alone. */
  readonly frozen: ReadonlySet<string>;
  /** The weights, once the model was trained, loaded or initialised. */
  weights: ModelWeights | undefined;
}

/**
 * A denoising network: a list of parameters and a function that builds its graph. A new architecture is one such object; its
 * gradients, memory plan, training, sampling and checkpoints follow.
 */
export interface Model extends Network {
  /**
   * The label that stands for no class, if the model has one: `classes`, one above the last class. Such a model is trained with some
   * labels dropped and can predict with and without a class (classifier-free guidance, Ho and Salimans 2022, arXiv:2207.12598).
   */
  readonly nullClass: number | null;
  /** Whether it predicts the variance of a step, too; absent: it does not. */
  readonly learnedVariance?: boolean;
  /** Whether it is told its own estimate of the clean data (Chen et al. 2022, arXiv:2208.04202); absent: it is not. */
  readonly selfConditioning?: boolean;
  /**
   * Builds the forward pass.
   *
   * @returns the prediction, float32 [N, ...shape]; of a model that predicts its variance, with as many channels again behind it: about
   *   -1 for that of the posterior … 1 for that of the forward step (Nichol and Dhariwal 2021, eq. (15), arXiv:2102.09672).
   */
  forward(inputs: ModelInputs): Value;
}
