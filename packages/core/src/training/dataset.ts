import type { TensorData } from '../graph/program.ts';

/** Element types of data: bytes are images, read as values in [-1, 1]; float32 is taken as it is; int32 are tokens or indices. */
export type DataType = 'u8' | 'f32' | 'i32';

/**
 * What training reads: samples of one shape. `@diffuse/data` makes these from folders of images and IDX files; anything that
 * satisfies the interface can be trained on.
 */
export interface Dataset {
  /** Shape of every sample: [height, width, channels] of images, [length, channels] of signals, [channels] of points. */
  readonly shape: readonly number[];
  /** Element type; bytes where it is absent. */
  readonly dtype?: DataType;
  /** Number of samples. */
  readonly count: number;
  /** Changes when the content or the preparation changes; a resumed run refuses other data. */
  readonly fingerprint: string;
  /** Class of each sample, `0 … classNames.length - 1`; absent for unlabelled data. */
  readonly labels?: Int32Array;
  /** Name of each class; absent for unlabelled data. */
  readonly classNames?: readonly string[];
  /**
   * Copies samples into `target`, one after the other.
   *
   * @param indices which samples, each in `[0, count)`.
   * @param target [indices.length, ...shape] of the array type of `dtype`; bytes are 0 … 255.
   */
  read(indices: Int32Array, target: TensorData): Promise<void>;
}
