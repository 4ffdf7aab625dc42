import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import type { ImageDataset } from './dataset.ts';
import { headBytes, imageKind } from './file-kind.ts';
import { looksLikeIdx, withFile } from './idx-file.ts';
import { idxImages } from './idx-images.ts';
import { type ImageFolderOptions, imageFolder } from './image-folder.ts';
import { readRange } from './packed-file.ts';

/** Options of {@link openImages}: those of folders, and the labels of an IDX file. */
export interface OpenImagesOptions extends ImageFolderOptions {
  /** The idx1-ubyte file with the labels, when the images are an IDX file. */
  readonly labels?: string;
}

const supported = 'a folder of images (PNG, JPEG, WebP, AVIF, TIFF, GIF, SVG) or an IDX file (idx3-ubyte)';

/**
 * Opens whatever holds images: a folder ({@link imageFolder}) or an idx3-ubyte file ({@link idxImages}), told apart
 * by looking.
 *
 * @throws DiffuseError `ERR_DATA` for anything else; `ERR_ARGUMENT` for options that do not fit what was found; and
 * what the two throw.
 */
export async function openImages(path: string, options: OpenImagesOptions = {}): Promise<ImageDataset> {
  const { labels, channels, classes, strict, ...common } = options;
  const status = await stat(path).catch((error: Error) => {
    throw new DiffuseError('ERR_DATA', `cannot open ${resolve(path)} (${error.message}); expected ${supported}`, {
      cause: error,
    });
  });
  if (status.isDirectory()) {
    if (labels !== undefined) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `labels belong to an IDX file, but ${path} is a folder; use classes: 'folders'`,
      );
    }
    const { labels: _, ...folderOptions } = options;
    return imageFolder(path, folderOptions);
  }
  const head = status.isFile() ? await readHead(path, status.size) : new Uint8Array();
  if (!looksLikeIdx(head))
    throw new DiffuseError('ERR_DATA', `${resolve(path)} ${whatItIs(head)}; expected ${supported}`);
  if (classes === 'folders') {
    throw new DiffuseError('ERR_ARGUMENT', `classes: 'folders' needs a folder, but ${path} is an IDX file; use labels`);
  }
  if (channels !== undefined && channels !== 1) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `channels must be 1 for an IDX file, whose images are grey; got ${channels}`,
    );
  }
  return idxImages(path, { ...common, ...(labels !== undefined && { labels }) });
}

async function readHead(path: string, size: number): Promise<Uint8Array> {
  return withFile(resolve(path), (file) => readRange(file, 0, Math.min(size, headBytes)));
}

function whatItIs(head: Uint8Array): string {
  const kind = imageKind(head);
  if (kind) return `is a single ${kind} image`;
  if (head.length === 0) return 'is empty';
  if (head[0] === 0x1f && head[1] === 0x8b) return 'is compressed with gzip, unpack it first';
  return 'is nothing that can be read';
}
