/**
 * What training reads: images of one shape, as bytes. `@diffuse/data` makes these from folders and IDX files; anything that
 * satisfies the interface can be trained on.
 */
export interface Dataset {
  /** Height, width and channels of every image. */
  readonly shape: readonly [height: number, width: number, channels: number];
  /** Number of images. */
  readonly count: number;
  /** Changes when the content or the preparation changes; a resumed run refuses other data. */
  readonly fingerprint: string;
  /** Class of each image, `0 … classNames.length - 1`; absent for unlabelled data. */
  readonly labels?: Int32Array;
  /** Name of each class; absent for unlabelled data. */
  readonly classNames?: readonly string[];
  /**
   * Copies images into `target`, one after the other.
   *
   * @param indices which images, each in `[0, count)`.
   * @param target uint8 [indices.length, height, width, channels], values 0 … 255.
   */
  read(indices: Int32Array, target: Uint8Array): Promise<void>;
}
