import { elementCount } from '../graph/graph.ts';
import type { TensorData } from '../graph/program.ts';
import { permutation } from '../random/philox.ts';
import type { Dataset } from './dataset.ts';
import type { DrawnTimesteps } from './loss-aware.ts';

/** Samples and labels of one forward pass. */
export interface Batch {
  /** [batchSize, ...shape of the data], of the data's element type. */
  readonly data: TensorData;
  /** int32 [batchSize]; absent for unlabelled data. */
  readonly labels: Int32Array | undefined;
  /** Noise levels where training draws them. */
  readonly drawn?: DrawnTimesteps | undefined;
}

const arrayTypes = { u8: Uint8Array, f32: Float32Array, i32: Int32Array } as const;

/**
 * The order in which training sees the data: epoch after epoch, each a permutation of its own that depends on the seed and the
 * epoch alone. So a resumed run goes on with the very sample that would have come next.
 *
 * @returns a function that reads the batch beginning at a position of that endless stream.
 */
export function batchReader(source: Dataset, batchSize: number, seed: number): (position: number) => Promise<Batch> {
  const ArrayType = arrayTypes[source.dtype ?? 'u8'];
  const sampleSize = elementCount(source.shape);
  let epoch = -1;
  let order = new Int32Array();
  const indexAt = (position: number): number => {
    const wanted = Math.floor(position / source.count);
    if (wanted !== epoch) {
      epoch = wanted;
      order = permutation(seed, epoch, source.count) as Int32Array<ArrayBuffer>;
    }
    return order[position % source.count] ?? 0;
  };
  return async (position) => {
    const indices = Int32Array.from({ length: batchSize }, (_, i) => indexAt(position + i));
    const data = new ArrayType(batchSize * sampleSize);
    await source.read(indices, data);
    const { labels } = source;
    return { data, labels: labels && Int32Array.from(indices, (index) => labels[index] ?? 0) };
  };
}
