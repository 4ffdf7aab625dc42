import { DiffuseError } from '../native/errors.ts';
import type { FeatureNetwork, ImageFeatures, ImagesShape } from './feature-network.ts';
import { type FeatureStatistics, featureStatistics, mergeStatistics } from './feature-statistics.ts';
import type { FeatureVectors } from './feature-vectors.ts';
import { byteBatches, type ImageSource } from './image-source.ts';

/** Vectors that are merged into the statistics at once; a merge goes over the whole covariance. */
const MERGED_AT_ONCE = 2048;

/** What is to be kept of the features of a set. */
export interface CollectOptions {
  readonly network: FeatureNetwork;
  readonly batchSize: number;
  /** Keep mean and covariance. */
  readonly statistics: boolean;
  /** Keep all vectors. */
  readonly vectors: boolean;
  /** Keep the probabilities of classes. */
  readonly probabilities: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the number of images so far. */
  readonly onImages?: (count: number) => void;
}

/** The features of a set of images. */
export interface CollectedFeatures {
  readonly count: number;
  /** Shape of one image. */
  readonly shape: readonly number[];
  readonly statistics?: FeatureStatistics;
  readonly vectors?: FeatureVectors;
  readonly probabilities?: FeatureVectors;
}

/**
 * Runs a feature network over images, batch by batch, and keeps what is asked for.
 *
 * @param name what messages call the images.
 * @throws DiffuseError `ERR_DATA` without an image, `ERR_CANCELLED`; what the source and the network throw.
 */
export async function collectFeatures(
  name: string,
  source: ImageSource,
  options: CollectOptions,
): Promise<CollectedFeatures> {
  const { network, batchSize, signal } = options;
  const vectors = growingMatrix(network.dimensions);
  const probabilities = growingMatrix(network.classes ?? 1);
  let statistics: FeatureStatistics | undefined;
  let count = 0;
  let shape: readonly number[] | undefined;
  const merge = async (): Promise<void> => {
    const batch = await featureStatistics(vectors.takeNew(), { signal });
    statistics = statistics ? mergeStatistics(statistics, batch) : batch;
    if (!options.vectors) vectors.clear();
  };
  for await (const { data, shape: batch } of byteBatches(name, source, batchSize)) {
    if (signal?.aborted) {
      throw new DiffuseError('ERR_CANCELLED', `cancelled while looking at ${name} images`, { cause: signal.reason });
    }
    shape ??= batch.slice(1);
    checkSameShape(name, shape, batch);
    const found = checkedFeatures(network, await network.features(data, batch, { signal }), batch[0]);
    vectors.append(found.features);
    if (options.probabilities) probabilities.append(found.probabilities as Float32Array);
    count += batch[0];
    if (options.statistics && vectors.newRows() >= MERGED_AT_ONCE) await merge();
    else if (!options.statistics && !options.vectors) vectors.clear();
    options.onImages?.(count);
  }
  if (shape === undefined) throw new DiffuseError('ERR_DATA', `there are no ${name} images`);
  if (options.statistics && vectors.newRows() > 0) await merge();
  return {
    count,
    shape,
    ...(statistics && { statistics }),
    ...(options.vectors && { vectors: vectors.all() }),
    ...(options.probabilities && { probabilities: probabilities.all() }),
  };
}

function checkSameShape(name: string, expected: readonly number[], batch: ImagesShape): void {
  const [, ...shape] = batch;
  if (shape.every((side, i) => side === expected[i])) return;
  throw new DiffuseError(
    'ERR_SHAPE',
    `${name} images must have one shape; after [${expected.join(', ')}] came [${shape.join(', ')}]`,
  );
}

/** Holds what a network returns against what it says of itself. */
function checkedFeatures(
  { name, dimensions, classes }: FeatureNetwork,
  found: ImageFeatures,
  count: number,
): ImageFeatures {
  const expected = count * dimensions;
  if (found.features.length !== expected) {
    const problem = `the feature network '${name}' gave ${found.features.length} values for ${count} images`;
    throw new DiffuseError('ERR_SHAPE', `${problem}; it has ${dimensions} dimensions, which makes ${expected}`);
  }
  if (classes !== undefined && found.probabilities?.length !== count * classes) {
    const problem = `the feature network '${name}' gave ${found.probabilities?.length ?? 'no'} probabilities`;
    throw new DiffuseError('ERR_SHAPE', `${problem}; ${count} images of ${classes} classes make ${count * classes}`);
  }
  return found;
}

/** Rows that are added one batch after the other. */
interface GrowingMatrix {
  append(rows: Float32Array): void;
  /** Rows since the last {@link takeNew}. */
  newRows(): number;
  takeNew(): FeatureVectors;
  all(): FeatureVectors;
  clear(): void;
}

function growingMatrix(columns: number): GrowingMatrix {
  let data = new Float32Array(0);
  let [length, taken] = [0, 0];
  return {
    append(rows) {
      if (length + rows.length > data.length) {
        const larger = new Float32Array(Math.max(2 * data.length, length + rows.length));
        larger.set(data.subarray(0, length));
        data = larger;
      }
      data.set(rows, length);
      length += rows.length;
    },
    newRows: () => (length - taken) / columns,
    takeNew() {
      const rows = data.subarray(taken, length);
      taken = length;
      return { data: rows, shape: [rows.length / columns, columns] };
    },
    all: () => ({ data: data.subarray(0, length), shape: [length / columns, columns] }),
    clear() {
      length = 0;
      taken = 0;
    },
  };
}
