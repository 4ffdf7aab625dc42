import { join } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { encodeStill, requireEnding, stillEndings, writeEncoded } from './encode.ts';
import { filesAtOnce } from './find-images.ts';
import { type ImageGridOptions, type ImageRow, type ImageRowsOptions, imageGrid, imageRows } from './image-grid.ts';
import { checkWhole, enlarge, type Images, imageAt, toBytes } from './images.ts';
import { mapOrdered } from './ordered-map.ts';

/**
 * Writes images as one grid. The file appears whole or not at all.
 *
 * @param path ends in `.png` or `.webp` (lossless); missing folders are made.
 * @throws DiffuseError `ERR_ARGUMENT` for another ending, `ERR_DATA` when it cannot be written, and what {@link
 * imageGrid} throws.
 */
export async function saveImageGrid(path: string, images: Images, options: ImageGridOptions = {}): Promise<void> {
  const ending = requireEnding(path, stillEndings, 'a grid');
  const grid = imageGrid(images, options);
  await writeEncoded(path, () => encodeStill(grid, ending));
}

/**
 * Writes batches as labelled rows of one picture, see {@link imageRows}. The file appears whole or not at all.
 *
 * @param path ends in `.png` or `.webp` (lossless); missing folders are made.
 * @throws DiffuseError `ERR_ARGUMENT` for another ending, `ERR_DATA` when it cannot be written, and what {@link
 * imageRows} throws.
 */
export async function saveImageRows(
  path: string,
  rows: readonly ImageRow[],
  options: ImageRowsOptions = {},
): Promise<void> {
  const ending = requireEnding(path, stillEndings, 'a picture of rows');
  const picture = imageRows(rows, options);
  await writeEncoded(path, () => encodeStill(picture, ending));
}

/** Options of {@link saveImages}. */
export interface SaveImagesOptions {
  /** Start of every file name. Default none. */
  readonly prefix?: string;
  /** Number of the first file. Default 0. */
  readonly start?: number;
  /** Whole factor by which every image is enlarged. Default 1. */
  readonly scale?: number;
  /** Default `png`; both are lossless. */
  readonly format?: 'png' | 'webp';
}

/**
 * Writes one file an image: `<prefix>0000.png` and so on, with more digits when the numbers need them. Each file
 * appears whole or not at all.
 *
 * @param folder is made if it is missing.
 * @returns the paths, in the order of the images.
 * @throws DiffuseError `ERR_ARGUMENT` for bad options, `ERR_DATA` when a file cannot be written, and what images
 * deserve.
 */
export async function saveImages(folder: string, images: Images, options: SaveImagesOptions = {}): Promise<string[]> {
  const { prefix = '', start = 0, scale = 1, format = 'png' } = options;
  checkWhole('start', start, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('scale', scale, 1, 64);
  if (/[/\\\0]/.test(prefix)) {
    throw new DiffuseError('ERR_ARGUMENT', `prefix must be the start of a file name, without / or \\; got ${prefix}`);
  }
  const ending = requireEnding(`image.${format}`, stillEndings, 'a single image');
  const bytes = toBytes(images);
  const count = images.shape[0];
  const digits = Math.max(4, String(start + count - 1).length);
  const save = async (index: number): Promise<string> => {
    const path = join(folder, `${prefix}${String(start + index).padStart(digits, '0')}${ending}`);
    await writeEncoded(path, () => encodeStill(enlarge(imageAt(bytes, images, index), scale), ending));
    return path;
  };
  const paths: string[] = [];
  for await (const path of mapOrdered(Array(count).keys(), filesAtOnce, save)) paths.push(path);
  return paths;
}
