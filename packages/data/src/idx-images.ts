import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { cacheKey, openOrBuild } from './cache.ts';
import { throwIfCancelled } from './cancellation.ts';
import { type ImageDataset, imageDataset } from './dataset.ts';
import { resampleGrey } from './decode.ts';
import { filesAtOnce } from './find-images.ts';
import { type IdxImageHeader, readIdxImageHeader, readIdxLabels, withFile } from './idx-file.ts';
import { mapOrdered } from './ordered-map.ts';
import { readRange } from './packed-file.ts';
import { filePixels, memoryPixels, type PixelSource } from './pixel-source.ts';
import {
  type OpenOptions,
  parseResolution,
  type Resolution,
  resolveCacheDirectory,
  resolveMemoryBytes,
} from './settings.ts';

/** Options of {@link idxImages}. */
export interface IdxImagesOptions extends OpenOptions {
  /** The idx1-ubyte file with the label of each image; the classes are named `0` … highest label. */
  readonly labels?: string;
  /**
   * Size of the images of the data set. Default: as stored. Larger images get a border of 0, the background of MNIST,
   * evenly on both sides (the odd pixel goes right and below): 28 to 32 keeps every stroke as it is. When either side
   * is smaller than stored, images are resized to cover the resolution and cropped around the centre, as {@link
   * imageFolder} does.
   */
  readonly resolution?: Resolution;
}

/**
 * Opens an idx3-ubyte file of grey images, the format of MNIST and its relatives. Images of the stored size are read
 * from the file itself; for another size a packed cache is made.
 *
 * @throws DiffuseError `ERR_DATA` for a missing file, a wrong magic number or length, or labels of another number
 * than images; `ERR_ARGUMENT` for bad options; `ERR_CANCELLED`.
 */
export async function idxImages(path: string, options: IdxImagesOptions = {}): Promise<ImageDataset> {
  const wanted = options.resolution === undefined ? undefined : parseResolution(options.resolution);
  const memoryBytes = resolveMemoryBytes(options.memoryBytes);
  const { signal } = options;
  const file = resolve(path);
  return withFile(file, async (handle) => {
    const stored = await readIdxImageHeader(handle, file);
    const labelled = options.labels === undefined ? undefined : await readIdxLabels(resolve(options.labels));
    if (labelled && labelled.labels.length !== stored.count) {
      throw new DiffuseError(
        'ERR_DATA',
        `${options.labels} holds ${labelled.labels.length} labels for the ${stored.count} images in ${file}`,
      );
    }
    const size = wanted ?? ([stored.height, stored.width] as const);
    const images = { path: 'images', identity: await hashImages(handle, stored, file, signal) };
    const key = cacheKey({ kind: 'idx', size }, [images]);
    const pixels = isStoredSize(stored, size)
      ? await storedPixels(handle, stored, file, memoryBytes)
      : await resizedPixels(handle, stored, file, size, key, { ...options, memoryBytes });
    return imageDataset(
      {
        name: basename(file),
        shape: [...size, 1],
        count: stored.count,
        fingerprint: labelled
          ? cacheKey({ kind: 'idx', size }, [images, { path: 'labels', identity: labelled.identity }])
          : key,
        ...(labelled && { labels: labelled.labels, classNames: classNamesOf(labelled.labels) }),
        skipped: [],
        ...(pixels.cachePath && { cachePath: pixels.cachePath }),
        statistics: { fromCache: pixels.fromCache, enlarged: pixels.enlarged },
      },
      pixels.source,
    );
  });
}

/** Pixels of the wanted size and where they came from. */
interface ReadyPixels {
  readonly source: PixelSource;
  readonly fromCache: boolean;
  readonly enlarged: number;
  readonly cachePath?: string;
}

type Size = readonly [height: number, width: number];

function isStoredSize({ height, width }: IdxImageHeader, size: Size): boolean {
  return height === size[0] && width === size[1];
}

/** The file is packed already: nothing to decode. */
async function storedPixels(
  handle: FileHandle,
  { count, height, width, offset }: IdxImageHeader,
  file: string,
  memoryBytes: number,
): Promise<ReadyPixels> {
  const imageBytes = height * width;
  const source =
    count * imageBytes <= memoryBytes
      ? memoryPixels(await readRange(handle, offset, count * imageBytes), imageBytes)
      : await filePixels(file, offset, imageBytes);
  return { source, fromCache: true, enlarged: 0 };
}

async function resizedPixels(
  handle: FileHandle,
  stored: IdxImageHeader,
  file: string,
  size: Size,
  key: string,
  { cacheDirectory, memoryBytes, signal, onProgress }: OpenOptions & { readonly memoryBytes: number },
): Promise<ReadyPixels> {
  const { height, width, count } = stored;
  const isLarger = size[0] >= height && size[1] >= width;
  const resize = async (pixels: Uint8Array): Promise<Uint8Array> =>
    isLarger ? padCentred(pixels, [height, width], size) : resampleGrey(pixels, [height, width], size);
  const enlarged = !isLarger && (size[0] > height || size[1] > width) ? count : 0;
  const cached = await openOrBuild({
    directory: resolveCacheDirectory(cacheDirectory),
    key,
    memoryBytes,
    build: async (writer) => {
      let done = 0;
      for await (const block of readBlocks(handle, stored, file, signal)) {
        for await (const pixels of mapOrdered(imagesOf(block, height * width), filesAtOnce, resize)) {
          await writer.append(pixels);
          onProgress?.({ phase: 'decode', done: ++done, total: count, skipped: 0 });
        }
      }
      return { shape: [...size, 1], count, skipped: [], enlarged };
    },
  });
  return { source: cached.pixels, fromCache: cached.fromCache, enlarged, cachePath: cached.path };
}

/** Places an image in the middle of a larger one of zeros; an odd pixel goes right and below. */
function padCentred(pixels: Uint8Array, from: Size, to: Size): Uint8Array {
  const padded = new Uint8Array(to[0] * to[1]);
  const top = Math.floor((to[0] - from[0]) / 2);
  const left = Math.floor((to[1] - from[1]) / 2);
  for (let y = 0; y < from[0]; y++) {
    padded.set(pixels.subarray(y * from[1], (y + 1) * from[1]), (top + y) * to[1] + left);
  }
  return padded;
}

async function hashImages(
  handle: FileHandle,
  stored: IdxImageHeader,
  file: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash('sha256').update(`${stored.height} x ${stored.width}`);
  for await (const block of readBlocks(handle, stored, file, signal)) hash.update(block);
  return hash.digest('hex');
}

/** All images, some megabytes at a time: uint8 [n, height, width] each. */
async function* readBlocks(
  handle: FileHandle,
  { count, height, width, offset }: IdxImageHeader,
  file: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const imageBytes = height * width;
  const imagesAtOnce = Math.max(1, Math.floor((4 * 2 ** 20) / imageBytes));
  for (let first = 0; first < count; first += imagesAtOnce) {
    throwIfCancelled(signal, `reading ${file}`);
    yield await readRange(handle, offset + first * imageBytes, Math.min(imagesAtOnce, count - first) * imageBytes);
  }
}

function* imagesOf(block: Uint8Array, imageBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < block.length; at += imageBytes) yield block.subarray(at, at + imageBytes);
}

function classNamesOf(labels: Int32Array): readonly string[] {
  const highest = labels.reduce((a, b) => Math.max(a, b), 0);
  return Array.from({ length: highest + 1 }, (_, label) => String(label));
}
