import { DiffuseError } from '@diffuse/core';
import { animationEndings, encodeAnimation, requireEnding, writeEncoded } from './encode.ts';
import { checkWhole, enlarge, type Images, imageAt, type RawImage, toBytes } from './images.ts';

/** Options of {@link saveAnimation}. */
export interface SaveAnimationOptions {
  /** How long each frame stands, in milliseconds: one number, or one a frame. GIF rounds to 10 ms. Default 100. */
  readonly delayMs?: number | readonly number[];
  /** How often it plays; 0 is for ever. Default 0. */
  readonly loop?: number;
  /** Whole factor by which every frame is enlarged. Default 1. */
  readonly scale?: number;
  /** 1 … 100: lossy WebP of this quality, much smaller where frames are noise. Default: every pixel is kept. */
  readonly quality?: number;
}

/**
 * Writes frames as an animation. The file appears whole or not at all. Equal frames in a row may be stored as one
 * that stands longer.
 *
 * @param path ends in `.webp` or `.gif`; missing folders are made.
 * @param frames a batch, or single images of one size such as {@link imageGrid} returns.
 * @throws DiffuseError `ERR_ARGUMENT` for another ending or bad options, `ERR_SHAPE` for frames of different sizes or
 * none, `ERR_DATA` when it cannot be written.
 */
export async function saveAnimation(
  path: string,
  frames: Images | readonly RawImage[],
  options: SaveAnimationOptions = {},
): Promise<void> {
  const { delayMs = 100, loop = 0, scale = 1, quality } = options;
  const ending = requireEnding(path, animationEndings, 'an animation');
  const pages = pagesOf(frames).map((page) => enlarge(page, scale));
  const delays = typeof delayMs === 'number' ? pages.map(() => delayMs) : delayMs;
  if (delays.length !== pages.length) {
    throw new DiffuseError('ERR_ARGUMENT', `delayMs has ${delays.length} delays for ${pages.length} frames`);
  }
  for (const delay of delays) checkWhole('delayMs', delay, 1, 65_535);
  checkWhole('loop', loop, 0, 65_535);
  if (quality !== undefined) checkWhole('quality', quality, 1, 100);
  const [height, width, channels] = (pages[0] as RawImage).shape;
  const strip = new Uint8Array(pages.length * height * width * channels);
  pages.forEach((page, i) => {
    strip.set(page.data, i * page.data.length);
  });
  const film: RawImage = { data: strip, shape: [pages.length * height, width, channels] };
  await writeEncoded(path, () => encodeAnimation(film, { ending, frameHeight: height, delays, loop, quality }));
}

/** One image a frame, all of one shape. */
function pagesOf(frames: Images | readonly RawImage[]): readonly RawImage[] {
  if (!Array.isArray(frames)) {
    const batch = frames as Images;
    const bytes = toBytes(batch);
    return Array.from({ length: batch.shape[0] }, (_, i) => imageAt(bytes, batch, i));
  }
  const images = frames as readonly RawImage[];
  const [first] = images;
  if (!first) throw new DiffuseError('ERR_SHAPE', 'an animation needs at least one frame');
  for (const [i, { data, shape }] of images.entries()) {
    toBytes({ data, shape: [1, ...shape] });
    if (shape.join() !== first.shape.join()) {
      throw new DiffuseError(
        'ERR_SHAPE',
        `all frames need the shape of the first, ${first.shape.join(' x ')}; frame ${i} has ${shape.join(' x ')}`,
      );
    }
  }
  return images;
}
