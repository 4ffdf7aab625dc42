import { DiffuseError } from '@diffuse/core';
import sharp from 'sharp';
import { requireEnding, writeEncoded } from '../encode.ts';
import type { RawImage } from '../images.ts';
import { outlineTexts } from './text.ts';

/** Endings of the files that {@link renderSvg} writes. */
export const chartEndings = ['.svg', '.png', '.webp'] as const;

/** Options of {@link renderSvg}. */
export interface RenderOptions {
  /** Pixels of a .png or .webp for one of the SVG, above 0 and at most 16. Default 2, for dense screens. */
  readonly scale?: number;
}

/** What an SVG of this resolution in dots an inch is drawn at pixel by pixel. */
const screenDensity = 72;

/**
 * Writes an SVG as a file: as it is, or drawn by librsvg, without a browser. The file appears whole or not at all.
 *
 * @param svg such as `lineChart` returns; its texts are drawn with the package's own letters, whatever fonts the machine has.
 * @param path ends in `.svg`, `.png` or `.webp` (lossless); missing folders are made.
 * @throws DiffuseError `ERR_ARGUMENT` for another ending or a scale out of range, `ERR_DATA` for what is no SVG or cannot be written.
 */
export async function renderSvg(svg: string, path: string, { scale = 2 }: RenderOptions = {}): Promise<void> {
  const ending = requireEnding(path, chartEndings, 'a picture of a chart');
  const density = densityOf(scale);
  await writeEncoded(path, async () => {
    if (ending === '.svg') return Buffer.from(svg);
    const picture = sharp(Buffer.from(outlineTexts(svg)), { density });
    return ending === '.png' ? picture.png().toBuffer() : picture.webp({ lossless: true }).toBuffer();
  });
}

/**
 * An SVG drawn as pixels on white.
 *
 * @returns uint8 [height · scale, width · scale, 3].
 * @throws DiffuseError as {@link renderSvg} does.
 */
export async function rasterize(svg: string, { scale = 2 }: RenderOptions = {}): Promise<RawImage> {
  const density = densityOf(scale);
  try {
    const { data, info } = await sharp(Buffer.from(outlineTexts(svg)), { density })
      .flatten({ background: '#ffffff' })
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, shape: [info.height, info.width, info.channels] };
  } catch (error) {
    throw new DiffuseError('ERR_DATA', `cannot draw the SVG: ${(error as Error).message}`, { cause: error });
  }
}

function densityOf(scale: number): number {
  if (!(scale > 0 && scale <= 16)) {
    throw new DiffuseError('ERR_ARGUMENT', `scale must be above 0 and at most 16; got ${scale}`);
  }
  return screenDensity * scale;
}
