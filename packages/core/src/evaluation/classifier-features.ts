import { DiffuseError } from '../native/errors.ts';
import { checkImages, type FeatureNetwork, softmax } from './feature-network.ts';
import type { PaceOptions } from './pace.ts';

/** What is asked of a classifier that is ready to run; `openClassifier` opens one. */
export interface ImageClassifier {
  /**
   * @param images [N, height, width, channels]: float32 in [-1, 1], or bytes.
   * @returns float32 [N, classes], and what the last layer sees, float32 [N, featureSize].
   */
  classify(
    images: Float32Array | Uint8Array,
    options: PaceOptions,
  ): Promise<{ readonly logits: Float32Array; readonly features: Float32Array }>;
}

/** Options of {@link classifierFeatures}. */
export interface ClassifierFeaturesOptions {
  /** For people, e.g. the folder of the classifier. */
  readonly name: string;
  /** The classifier's sizes. */
  readonly model: {
    readonly shape: readonly [height: number, width: number, channels: number];
    readonly classes: number;
    readonly featureSize: number;
  };
  readonly session: ImageClassifier;
}

/**
 * A classifier as a feature network: what its last layer sees is the space in which images are compared. One that was trained on the
 * data's own labels judges data that networks of photographs know nothing of.
 *
 * @example
 * const { model } = await loadRun('runs/classifier', { device, kind: 'classifier' });
 * using session = openClassifier(model, device);
 * const network = classifierFeatures({ name: 'digits', model, session });
 */
export function classifierFeatures({ name, model, session }: ClassifierFeaturesOptions): FeatureNetwork {
  const { shape: expected, classes, featureSize } = model;
  return {
    name,
    dimensions: featureSize,
    classes,
    async features(images, shape, options = {}) {
      checkImages('images', images, shape);
      if (expected.some((side, i) => side !== shape[i + 1])) {
        const problem = `the classifier '${name}' looks at images of ${expected.join(' x ')}`;
        throw new DiffuseError('ERR_SHAPE', `${problem}; these are ${shape.slice(1).join(' x ')}`);
      }
      const { logits, features } = await session.classify(images, options);
      return { features, probabilities: softmax(logits, classes) };
    },
  };
}
