import { type Dataset, DiffuseError } from '@diffuse/core';
import type { PixelSource } from './pixel-source.ts';
import type { SkippedFile } from './settings.ts';

/** What happened on the way to a data set. */
export interface DatasetStatistics {
  /** Whether everything came from the cache and nothing was decoded. */
  readonly fromCache: boolean;
  /** Images that had fewer pixels than asked for and were enlarged. */
  readonly enlarged: number;
}

/** Images ready for training, packed as uint8 [count, height, width, channels] in memory or in a cache file. */
export interface ImageDataset extends Dataset {
  readonly shape: readonly [height: number, width: number, channels: number];
  readonly dtype?: 'u8';
  /** Last part of the path it was opened from. */
  readonly name: string;
  /** Files that were left out and why, sorted by path. */
  readonly skipped: readonly SkippedFile[];
  /** The packed file, if one was needed. */
  readonly cachePath?: string;
  readonly statistics: DatasetStatistics;
  /** Copies images into `target`, uint8 [indices.length, height, width, channels]; see `Dataset`. */
  read(indices: Int32Array, target: Uint8Array): Promise<void>;
  /** Frees the memory and closes the file; reading fails with `ERR_DISPOSED` from then on. */
  close(): void;
  /** Same as {@link ImageDataset.close}, for `using`. */
  [Symbol.dispose](): void;
}

/** Everything about a data set but how to read it. */
export type DatasetFacts = Omit<ImageDataset, 'read' | 'close' | typeof Symbol.dispose>;

/** A data set over packed pixels: adds the checks that every `read` needs. */
export function imageDataset(facts: DatasetFacts, pixels: PixelSource): ImageDataset {
  const { count, shape } = facts;
  const imageBytes = shape[0] * shape[1] * shape[2];
  return {
    ...facts,
    async read(indices, target) {
      if (target.length !== indices.length * imageBytes) {
        throw new DiffuseError(
          'ERR_SHAPE',
          `target must hold ${indices.length} images of ${shape.join(' x ')} = ${indices.length * imageBytes} bytes; ` +
            `it holds ${target.length}`,
        );
      }
      for (const index of indices) {
        if (!(index >= 0 && index < count)) {
          throw new DiffuseError('ERR_ARGUMENT', `indices must be from 0 to ${count - 1}; got ${index}`);
        }
      }
      await pixels.read(indices, target);
    },
    close: () => pixels.close(),
    [Symbol.dispose]: () => pixels.close(),
  };
}
