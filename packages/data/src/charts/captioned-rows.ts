import { DiffuseError } from '@diffuse/core';
import { encodeStill, requireEnding, stillEndings, writeEncoded } from '../encode.ts';
import { type ImageRow, imageRows } from '../image-grid.ts';
import { blankImage, paste, type RawImage } from '../images.ts';
import { rasterize } from './render.ts';
import { text, textLength, textSizes } from './text.ts';
import { svgDocument } from './theme.ts';

/** How {@link captionedRows} lays a picture out. */
export interface CaptionedRowsOptions {
  /** Stands above the rows. */
  readonly title?: string;
  readonly subtitle?: string;
  /** Lines of text below each column, from left to right. */
  readonly captions?: readonly (readonly string[])[];
  /** White pixels between the images. Default 4. */
  readonly gap?: number;
  /** Whole factor by which every image is enlarged, pixels becoming squares. Default 1. */
  readonly scale?: number;
  /** Font size of labels and captions in pixels. Default: what fits the images, 12 … 20. */
  readonly textSize?: number;
  /** Least width of the picture: frames of an animation need one size, whatever their texts. Default none. */
  readonly minimumWidth?: number;
}

const margin = 14;

/**
 * Lays batches out as rows with a name to the left of each row and captions below each column: a trajectory, say, or an image on its way
 * to noise. The letters are the same on every machine.
 *
 * @returns uint8 [height, width, 3], black on white.
 * @throws DiffuseError what `imageRows` throws; `ERR_SHAPE` for more captions than columns; `ERR_ARGUMENT` for a text size out of range.
 */
export async function captionedRows(rows: readonly ImageRow[], options: CaptionedRowsOptions = {}): Promise<RawImage> {
  const { title = '', subtitle = '', captions = [], gap = 4, scale = 1, minimumWidth = 0 } = options;
  const picture = inColour(
    imageRows(
      rows.map(({ images }) => ({ images })),
      { gap, scale },
    ),
  );
  const [, tileHeight = 0, tileWidth = 0] = (rows[0] as ImageRow).images.shape;
  const [stepDown, stepRight] = [tileHeight * scale + gap, tileWidth * scale + gap];
  const columns = (picture.shape[1] + gap) / stepRight;
  if (captions.length > columns) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `${captions.length} captions for ${columns} columns; give one a column at most`,
    );
  }
  const size = options.textSize ?? Math.min(20, Math.max(12, Math.round((tileWidth * scale) / 7)));
  if (!(size >= 4 && size <= 200)) {
    throw new DiffuseError('ERR_ARGUMENT', `textSize must be a number of pixels from 4 to 200; got ${size}`);
  }
  const lineHeight = Math.round(size * 1.35);
  const labels = rows.map(({ label = '' }) => label);
  const labelWidth = Math.ceil(Math.max(...labels.map((label) => textLength(label, size))));
  const left = margin + (labelWidth > 0 ? labelWidth + Math.round(size * 0.7) : 0);
  const heading = headingOf(title, subtitle);
  const top = margin + heading.height;
  const captionHeight = Math.max(0, ...captions.map((lines) => lines.length)) * lineHeight;
  const texts = [
    ...heading.texts,
    ...labels.map((label, row) =>
      text(label, left - size * 0.7, top + row * stepDown + (stepDown - gap) / 2 + size * 0.35, {
        size,
        anchor: 'end',
        tone: 'strong',
      }),
    ),
    ...captions.flatMap((lines, column) =>
      lines.map((line, i) =>
        text(line, left + column * stepRight + (stepRight - gap) / 2, top + picture.shape[0] + (i + 1) * lineHeight, {
          size,
          anchor: 'middle',
        }),
      ),
    ),
  ];
  const inside = Math.max(left + picture.shape[1], ...heading.widths.map((width) => margin + width));
  const wide = Math.max(inside + margin, minimumWidth);
  const canvas = await page(texts, Math.ceil(wide), top + picture.shape[0] + captionHeight + margin);
  paste(canvas, picture, top, left);
  return canvas;
}

/**
 * Writes {@link captionedRows} as a file. It appears whole or not at all.
 *
 * @param path ends in `.png` or `.webp` (lossless); missing folders are made.
 * @throws DiffuseError `ERR_ARGUMENT` for another ending, `ERR_DATA` when it cannot be written, and what {@link captionedRows} throws.
 */
export async function saveCaptionedRows(
  path: string,
  rows: readonly ImageRow[],
  options: CaptionedRowsOptions = {},
): Promise<void> {
  const ending = requireEnding(path, stillEndings, 'a picture of rows');
  const picture = await captionedRows(rows, options);
  await writeEncoded(path, () => encodeStill(picture, ending));
}

function headingOf(title: string, subtitle: string): { texts: string[]; widths: number[]; height: number } {
  const lines = [
    ...(title === '' ? [] : [{ content: title, size: textSizes.title, tone: 'strong' as const }]),
    ...(subtitle === '' ? [] : [{ content: subtitle, size: textSizes.subtitle, tone: 'soft' as const }]),
  ];
  const lineHeight = 20;
  return {
    texts: lines.map(({ content, size, tone }, i) =>
      text(content, margin, margin + i * lineHeight + 14, { size, tone }),
    ),
    widths: lines.map(({ content, size }) => textLength(content, size)),
    height: lines.length === 0 ? 0 : lines.length * lineHeight + 8,
  };
}

/** White paper with texts. */
async function page(texts: readonly string[], width: number, height: number): Promise<RawImage> {
  if (texts.length === 0) return blankImage(height, width, 3);
  return rasterize(svgDocument({ width, height, body: texts.join('\n') }), { scale: 1 });
}

/** Grey as RGB; RGB and alpha on white. */
function inColour({ data, shape: [height, width, channels] }: RawImage): RawImage {
  if (channels === 3) return { data, shape: [height, width, 3] };
  const colours = new Uint8Array(height * width * 3);
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let colour = 0; colour < 3; colour++) {
      const value = data[pixel * channels + (channels === 1 ? 0 : colour)] as number;
      const alpha = channels === 4 ? (data[pixel * 4 + 3] as number) / 255 : 1;
      colours[pixel * 3 + colour] = Math.round(value * alpha + 255 * (1 - alpha));
    }
  }
  return { data: colours, shape: [height, width, 3] };
}
