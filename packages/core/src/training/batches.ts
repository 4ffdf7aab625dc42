import { permutation } from '../random/philox.ts';
import type { Dataset } from './dataset.ts';

/** Images and labels of one forward pass. */
export interface Batch {
  /** uint8 [batchSize, height, width, channels] */
  readonly images: Uint8Array;
  /** int32 [batchSize]; absent for unlabelled data. */
  readonly labels: Int32Array | undefined;
}

/**
 * The order in which training sees the images: epoch after epoch, each a permutation of its own that depends on the seed and the
 * epoch alone. So a resumed run goes on with the very image that would have come next.
 *
 * @returns a function that reads the batch beginning at a position of that endless stream.
 */
export function batchReader(data: Dataset, batchSize: number, seed: number): (position: number) => Promise<Batch> {
  const imageBytes = data.shape.reduce((product, size) => product * size, 1);
  let epoch = -1;
  let order = new Int32Array();
  const indexAt = (position: number): number => {
    const wanted = Math.floor(position / data.count);
    if (wanted !== epoch) {
      epoch = wanted;
      order = permutation(seed, epoch, data.count) as Int32Array<ArrayBuffer>;
    }
    return order[position % data.count] ?? 0;
  };
  return async (position) => {
    const indices = Int32Array.from({ length: batchSize }, (_, i) => indexAt(position + i));
    const images = new Uint8Array(batchSize * imageBytes);
    await data.read(indices, images);
    const { labels } = data;
    return { images, labels: labels && Int32Array.from(indices, (index) => labels[index] ?? 0) };
  };
}
