import { DiffuseError, userCacheDirectory } from '@diffuse/core';

/** Height and width of images, in pixels: one number for squares, or both. */
export type Resolution =
  | number
  | { readonly height: number; readonly width: number }
  | readonly [height: number, width: number];

/**
 * A file that was left out, and why. `path` is relative to the folder that was opened, with `/` between its parts.
 */
export interface SkippedFile {
  readonly path: string;
  readonly reason: string;
}

/** How far opening a data set has come. Each phase counts from 0 to its own `total`. */
export interface OpenProgress {
  /**
   * `hash`: reading the files to find their cache; `inspect`: reading sizes and colours; `decode`: filling the cache.
   */
  readonly phase: 'hash' | 'inspect' | 'decode';
  /** Files (or images, of an IDX file) that are through. */
  readonly done: number;
  /** Files (or images) of this phase. */
  readonly total: number;
  /** Files left out so far, all phases together. */
  readonly skipped: number;
}

/** What every way to open a data set takes. */
export interface OpenOptions {
  /**
   * Where packed caches are kept; one file a data set, safe to delete at any time. Default: `DIFFUSE_CACHE`, else
   * `$XDG_CACHE_HOME/diffuse`, else `~/.cache/diffuse`.
   */
  readonly cacheDirectory?: string;
  /**
   * Pixels up to this many bytes are held in memory; more are read from the file, batch by batch. Default 512 MiB.
   */
  readonly memoryBytes?: number;
  /** Called often; what it throws ends the opening. */
  readonly onProgress?: (progress: OpenProgress) => void;
  /** Gives up with `ERR_CANCELLED`; nothing half-written stays. */
  readonly signal?: AbortSignal;
}

/** Channels of decoded images: grey, RGB, or RGB and alpha. */
export type Channels = 1 | 3 | 4;

/** Refuses channels that are given and are none. */
export function checkChannels(channels: number | undefined): void {
  if (channels !== undefined && ![1, 3, 4].includes(channels)) {
    throw new DiffuseError('ERR_ARGUMENT', `channels must be 1 (grey), 3 (RGB) or 4 (RGB and alpha); got ${channels}`);
  }
}

const largestSide = 16_384;

/**
 * Height and width from any form of {@link Resolution}.
 *
 * @throws DiffuseError `ERR_ARGUMENT` unless both are whole numbers from 1 to 16384.
 */
export function parseResolution(resolution: Resolution): readonly [height: number, width: number] {
  const [height, width] = sides(resolution);
  for (const side of [height, width]) {
    if (!Number.isInteger(side) || side < 1 || side > largestSide) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `resolution must be a whole number of pixels from 1 to ${largestSide}, or [height, width] of such; ` +
          `got ${JSON.stringify(resolution)}`,
      );
    }
  }
  return [height, width];
}

function sides(resolution: Resolution): readonly [height: number, width: number] {
  if (typeof resolution === 'number') return [resolution, resolution];
  if (Array.isArray(resolution)) return resolution.length === 2 ? [resolution[0], resolution[1]] : [Number.NaN, 0];
  if (typeof resolution === 'object' && resolution !== null && 'height' in resolution) {
    return [resolution.height, resolution.width];
  }
  return [Number.NaN, Number.NaN];
}

/** The folder for caches: the caller's, else the environment's, else the user's. */
export function resolveCacheDirectory(cacheDirectory: string | undefined): string {
  return cacheDirectory || userCacheDirectory();
}

/** Checks `memoryBytes` and fills in its default, 512 MiB. */
export function resolveMemoryBytes(memoryBytes: number | undefined): number {
  const bytes = memoryBytes ?? 512 * 2 ** 20;
  if (!(bytes >= 0)) {
    throw new DiffuseError('ERR_ARGUMENT', `memoryBytes must be a number of bytes, 0 or more; got ${bytes}`);
  }
  return bytes;
}
