import { checkImages, type FeatureNetwork, softmax } from './feature-network.ts';
import type { PaceOptions } from './pace.ts';

/** What a classifier makes of a batch of N images. */
export interface Classification {
  /** float32 [N, classes] */
  readonly logits: Float32Array;
  /** float32 [N, dimensions]: what the last layer sees. */
  readonly features: Float32Array;
}

/** Options of {@link classifierFeatures}. */
export interface ClassifierFeaturesOptions {
  /** For people, e.g. the folder of the classifier. */
  readonly name: string;
  /** Length of the features. */
  readonly dimensions: number;
  readonly classes: number;
  /**
   * Runs the classifier.
   *
   * @param images float32 [N, height, width, channels], values in [-1, 1].
   */
  classify(
    images: Float32Array,
    shape: readonly [count: number, height: number, width: number, channels: number],
    options: PaceOptions,
  ): Promise<Classification>;
}

/** A classifier as a feature network: its last hidden layer is the space in which images are compared. */
export function classifierFeatures({ name, dimensions, classes, classify }: ClassifierFeaturesOptions): FeatureNetwork {
  return {
    name,
    dimensions,
    classes,
    async features(images, shape, options = {}) {
      checkImages('images', images, shape);
      const values = images instanceof Uint8Array ? Float32Array.from(images, (byte) => byte / 127.5 - 1) : images;
      const { logits, features } = await classify(values, shape, options);
      return { features, probabilities: softmax(logits, classes) };
    },
  };
}
