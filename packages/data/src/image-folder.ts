import { basename, join, resolve } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { cacheKey, openOrBuild } from './cache.ts';
import { type ImageDataset, imageDataset } from './dataset.ts';
import { type CandidateFile, findImages } from './find-images.ts';
import { classOf, packFolder } from './pack-folder.ts';
import { comparePaths } from './scan-folder.ts';
import {
  type Channels,
  checkChannels,
  type OpenOptions,
  parseResolution,
  type Resolution,
  resolveCacheDirectory,
  resolveMemoryBytes,
  type SkippedFile,
} from './settings.ts';

/** Options of {@link imageFolder}. */
export interface ImageFolderOptions extends OpenOptions {
  /** Size of the images of the data set. Default: the size of the files, which must then be one. */
  readonly resolution?: Resolution;
  /** 1: grey, 3: RGB, 4: RGB and alpha. Default: 1 for grey files, 3 for coloured ones; a mixture is an error. */
  readonly channels?: Channels;
  /** `folders`: the sub-folders are the classes, sorted by name. Default `none`. */
  readonly classes?: 'none' | 'folders';
  /** Fail on the first file that cannot be used, instead of leaving it out. Default `false`. */
  readonly strict?: boolean;
}

/**
 * Opens a folder of images and its sub-folders: PNG, JPEG, WebP, AVIF, TIFF, GIF (first frame) and SVG; grey, RGB,
 * RGBA, palettes and CMYK; 8 and 16 bits. What a file is, its content decides, not its name; hidden files are passed
 * over.
 *
 * Every image is turned by its EXIF orientation, brought to sRGB, resized to cover the resolution and cropped around
 * the centre; transparency is laid on white unless `channels` is 4. The images are in the order of their paths (by
 * code units, so the same everywhere). The first opening decodes them into a packed file; later ones find it by the
 * content of the files and these settings.
 *
 * @throws DiffuseError `ERR_DATA` for a missing or empty folder, mixed colours or sizes, and with `strict` for any
 * file that cannot be used; `ERR_ARGUMENT` for bad options; `ERR_CANCELLED`.
 */
export async function imageFolder(path: string, options: ImageFolderOptions = {}): Promise<ImageDataset> {
  const { classes = 'none', strict = false, signal, onProgress } = options;
  checkOptions(options);
  const size = options.resolution === undefined ? undefined : parseResolution(options.resolution);
  const memoryBytes = resolveMemoryBytes(options.memoryBytes);
  const root = resolve(path);

  const found = await findImages(root, { perClass: classes === 'folders', signal, onProgress });
  if (strict) refuseSkipped(root, found.skipped);
  if (found.files.length === 0) throw nothingUsable(root, found.skipped);
  const classNames = classes === 'folders' ? classNamesOf(found.files) : undefined;

  const key = cacheKey({ kind: 'folder', size, channels: options.channels, classes }, found.files);
  const cached = await openOrBuild({
    directory: resolveCacheDirectory(options.cacheDirectory),
    key,
    memoryBytes,
    build: (writer) =>
      packFolder(writer, {
        root,
        files: found.files,
        skippedBefore: found.skipped.length,
        size,
        channels: options.channels,
        classNames,
        strict,
        signal,
        onProgress,
      }),
  });
  const { header, labels } = cached;
  if (strict && header.skipped.length > 0) {
    cached.pixels.close();
    refuseSkipped(root, header.skipped);
  }
  return imageDataset(
    {
      name: basename(root),
      shape: header.shape,
      count: header.count,
      fingerprint: key,
      ...(labels && header.classNames && { labels, classNames: header.classNames }),
      skipped: [...found.skipped, ...header.skipped].sort((a, b) => comparePaths(a.path, b.path)),
      cachePath: cached.path,
      statistics: { fromCache: cached.fromCache, enlarged: header.enlarged },
    },
    cached.pixels,
  );
}

/** Sub-folders of the first level that hold images, sorted. */
function classNamesOf(files: readonly CandidateFile[]): readonly string[] {
  return [...new Set(files.map(({ path }) => classOf(path)))].sort(comparePaths);
}

function checkOptions({ channels, classes }: ImageFolderOptions): void {
  checkChannels(channels);
  if (classes !== undefined && classes !== 'none' && classes !== 'folders') {
    throw new DiffuseError('ERR_ARGUMENT', `classes must be 'none' or 'folders'; got ${JSON.stringify(classes)}`);
  }
}

/** Strict: files that were left out fail the run. */
function refuseSkipped(root: string, skipped: readonly SkippedFile[]): void {
  const [first] = skipped;
  if (!first) return;
  const others = skipped.length === 1 ? '' : ` (and ${skipped.length - 1} more files cannot be used)`;
  throw new DiffuseError('ERR_DATA', `${join(root, first.path)} ${first.reason}${others}`);
}

function nothingUsable(root: string, skipped: readonly SkippedFile[]): DiffuseError {
  const [first] = skipped;
  if (!first) return new DiffuseError('ERR_DATA', `${root} holds no files; a folder of images was expected`);
  return new DiffuseError(
    'ERR_DATA',
    `${root} holds no image that can be used; ${skipped.length} left out, for instance ${first.path}: ${first.reason}`,
  );
}
