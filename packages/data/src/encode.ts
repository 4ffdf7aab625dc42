import { extname } from 'node:path';
import { DiffuseError } from '@diffuse/core';
import sharp, { type Sharp } from 'sharp';
import { writeAtomically } from './atomic-file.ts';
import type { RawImage } from './images.ts';

/** Endings of still images. */
export const stillEndings = ['.png', '.webp'] as const;
/** Endings of animations. */
export const animationEndings = ['.webp', '.gif'] as const;

/**
 * The ending of a path, if it is one of those that can be written.
 *
 * @throws DiffuseError `ERR_ARGUMENT` that lists them.
 */
export function requireEnding<Ending extends string>(path: string, endings: readonly Ending[], what: string): Ending {
  const ending = extname(path).toLowerCase();
  const known = endings.find((candidate) => candidate === ending);
  if (known) return known;
  throw new DiffuseError(
    'ERR_ARGUMENT',
    `cannot write ${path}: ${what} must end in ${endings.join(' or ')}; got ${ending === '' ? 'no ending' : ending}`,
  );
}

/** Encodes a still image without loss. Grey stays grey in PNG; WebP has only colour. */
export async function encodeStill(image: RawImage, ending: (typeof stillEndings)[number]): Promise<Uint8Array> {
  const [height, width, channels] = image.shape;
  const pipeline = sharpOf(image.data, height, width, channels);
  return ending === '.png' ? pipeline.png().toBuffer() : pipeline.webp({ lossless: true, exact: true }).toBuffer();
}

/** Encodes frames that lie below each other; delays in milliseconds, one a frame; `loop` 0 is for ever. */
export async function encodeAnimation(
  frames: RawImage,
  options: {
    readonly ending: (typeof animationEndings)[number];
    readonly frameHeight: number;
    readonly delays: readonly number[];
    readonly loop: number;
    /** 1 … 100 for lossy WebP; `undefined` keeps every pixel. GIF has 256 colours a frame at best and no quality. */
    readonly quality: number | undefined;
  },
): Promise<Uint8Array> {
  const { ending, frameHeight, delays, loop, quality } = options;
  const [height, width, channels] = frames.shape;
  const pipeline = sharpOf(frames.data, height, width, channels, frameHeight);
  const timing = { delay: [...delays], loop };
  if (ending === '.gif') return pipeline.gif(timing).toBuffer();
  return pipeline
    .webp({ ...timing, ...(quality === undefined ? { lossless: true, exact: true } : { quality }) })
    .toBuffer();
}

/**
 * Encodes and writes a file atomically.
 *
 * @throws DiffuseError `ERR_DATA` that names the file, whether the disk or the format refuses (WebP ends at 16383
 * pixels a side).
 */
export async function writeEncoded(path: string, encode: () => Promise<Uint8Array>): Promise<void> {
  try {
    const encoded = await encode();
    await writeAtomically(path, (file) => file.writeFile(encoded));
  } catch (error) {
    throw new DiffuseError('ERR_DATA', `cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function sharpOf(data: Uint8Array, height: number, width: number, channels: number, pageHeight?: number): Sharp {
  const raw = { height, width, channels: channels as 1 | 3 | 4, ...(pageHeight !== undefined && { pageHeight }) };
  const image = sharp(data, { raw, limitInputPixels: false });
  return channels === 1 ? image.toColourspace('b-w') : image;
}
