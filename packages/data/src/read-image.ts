import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import { decodeImage, inspectImage, UnreadableImage } from './decode.ts';
import { imageKind, imageKinds } from './file-kind.ts';
import type { RawImage } from './images.ts';
import { type Channels, checkChannels, parseResolution, type Resolution } from './settings.ts';

/** Options of {@link readImage}. */
export interface ReadImageOptions {
  /** Default: the size of the file. */
  readonly resolution?: Resolution;
  /** Default: 1 for a grey file, 3 for a coloured one. */
  readonly channels?: Channels;
}

/**
 * Reads one image, prepared exactly as {@link imageFolder} prepares those of a folder.
 *
 * @throws DiffuseError `ERR_DATA` when the file is missing, no image or damaged; `ERR_ARGUMENT` for a bad resolution.
 */
export async function readImage(path: string, options: ReadImageOptions = {}): Promise<RawImage> {
  const size = options.resolution === undefined ? undefined : parseResolution(options.resolution);
  checkChannels(options.channels);
  const file = resolve(path);
  const content = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    const message = error.code === 'ENOENT' ? `there is no file ${file}` : `cannot read ${file}: ${error.message}`;
    throw new DiffuseError('ERR_DATA', message, { cause: error });
  });
  if (!imageKind(content)) throw new DiffuseError('ERR_DATA', `${file} is no image (${imageKinds} are read)`);
  try {
    const { height: fileHeight, width: fileWidth, grey } = await inspectImage(content);
    const [height, width] = size ?? [fileHeight, fileWidth];
    const channels = options.channels ?? (grey ? 1 : 3);
    const { pixels } = await decodeImage(content, { height, width, channels });
    return { data: pixels, shape: [height, width, channels] };
  } catch (error) {
    if (!(error instanceof UnreadableImage)) throw error;
    throw new DiffuseError('ERR_DATA', `${file} ${error.message}`, { cause: error });
  }
}
