import { DiffuseError } from '../native/errors.ts';
import type { PaceOptions } from './pace.ts';

/** Shape of a batch of images. */
export type ImagesShape = readonly [count: number, height: number, width: number, channels: number];

/** What a feature network makes of a batch. */
export interface ImageFeatures {
  /** float32 [count, dimensions] */
  readonly features: Float32Array;
  /** float32 [count, classes], rows that sum to 1; given by networks with classes. */
  readonly probabilities?: Float32Array;
}

/** A network whose view of images decides how far apart two sets of them are. */
export interface FeatureNetwork {
  /** Stands beside every figure: distances of different networks cannot be compared. */
  readonly name: string;
  /** Length of a feature vector. */
  readonly dimensions: number;
  /** Number of classes of which it gives probabilities, if it does. */
  readonly classes?: number;
  /**
   * Looks at a batch of images.
   *
   * @param images [count, height, width, channels]: Uint8Array 0 … 255, or Float32Array in [-1, 1].
   */
  features(images: Float32Array | Uint8Array, shape: ImagesShape, options?: PaceOptions): Promise<ImageFeatures>;
}

/** Refuses images that do not fit their shape. @throws DiffuseError `ERR_SHAPE`, `ERR_DTYPE` */
export function checkImages(name: string, data: unknown, shape: readonly number[]): void {
  if (shape.length !== 4 || !shape.every((side) => Number.isInteger(side) && side > 0)) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `${name} must have the shape [count, height, width, channels], no side 0; got [${shape.join(', ')}]`,
    );
  }
  if (!(data instanceof Float32Array || data instanceof Uint8Array)) {
    throw new DiffuseError('ERR_DTYPE', `the data of ${name} must be a Float32Array in [-1, 1] or a Uint8Array`);
  }
  const expected = shape.reduce((product, side) => product * side, 1);
  if (data.length !== expected) {
    throw new DiffuseError('ERR_SHAPE', `${name} of [${shape.join(', ')}] has ${expected} values; got ${data.length}`);
  }
}

/** Probabilities of logits: softmax of each row, in float64. */
export function softmax(logits: ArrayLike<number>, classes: number): Float32Array {
  const result = new Float32Array(logits.length);
  for (let begin = 0; begin < logits.length; begin += classes) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < classes; j++) largest = Math.max(largest, logits[begin + j] as number);
    let sum = 0;
    for (let j = 0; j < classes; j++) sum += Math.exp((logits[begin + j] as number) - largest);
    for (let j = 0; j < classes; j++) result[begin + j] = Math.exp((logits[begin + j] as number) - largest) / sum;
  }
  return result;
}
