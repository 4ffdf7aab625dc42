import { DiffuseError } from '@diffuse/core';
import { encodeStill, requireEnding, stillEndings, writeEncoded } from '../encode.ts';
import { type ImageRow, imageRows } from '../image-grid.ts';
import { blankImage, checkWhole, paste, type RawImage } from '../images.ts';
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
  /** How many rows belong together: more white stands between such groups. Default: all. */
  readonly group?: number;
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
 * @throws DiffuseError what `imageRows` throws; `ERR_SHAPE` for more captions than columns; `ERR_ARGUMENT` for an option out of range.
 */
export async function captionedRows(rows: readonly ImageRow[], options: CaptionedRowsOptions = {}): Promise<RawImage> {
  const { title = '', subtitle = '', captions = [], minimumWidth = 0 } = options;
  const { picture, stepRight, stepDown, tileHeight, tileWidth, rowTops } = layOut(rows, options);
  const size = textSizeOf(options, tileWidth);
  const lineHeight = Math.round(size * 1.35);
  const labels = rows.map(({ label = '' }) => label);
  const labelWidth = Math.ceil(Math.max(...labels.map((label) => textLength(label, size))));
  const left = margin + (labelWidth > 0 ? labelWidth + Math.round(size * 0.7) : 0);
  const heading = headingOf(title, subtitle);
  const top = margin + heading.height;
  const bottom = top + (rowTops.at(-1) as number) + tileHeight;
  const texts = [
    ...heading.texts,
    ...labels.map((label, row) => {
      const middle = top + (rowTops[row] as number) + tileHeight / 2;
      return text(label, left - size * 0.7, middle + size * 0.35, { size, anchor: 'end', tone: 'strong' });
    }),
    ...captions.flatMap((lines, column) =>
      lines.map((line, i) => {
        const middle = left + column * stepRight + tileWidth / 2;
        return text(line, middle, bottom + (i + 1) * lineHeight, { size, anchor: 'middle' });
      }),
    ),
  ];
  const inside = Math.max(left + picture.shape[1], ...heading.widths.map((width) => margin + width));
  const captionLines = Math.max(0, ...captions.map((lines) => lines.length));
  const width = Math.ceil(Math.max(inside + margin, minimumWidth));
  const canvas = await page(texts, width, bottom + captionLines * lineHeight + margin);
  rowTops.forEach((rowTop, row) => {
    paste(canvas, bandOf(picture, row * stepDown, tileHeight), top + rowTop, left);
  });
  return canvas;
}

interface Layout {
  /** All rows below each other, evenly. */
  readonly picture: RawImage;
  readonly tileHeight: number;
  readonly tileWidth: number;
  /** From one row of `picture` to the next. */
  readonly stepDown: number;
  /** From one column to the next. */
  readonly stepRight: number;
  /** Where each row shall begin, from the first. */
  readonly rowTops: readonly number[];
}

function layOut(rows: readonly ImageRow[], options: CaptionedRowsOptions): Layout {
  const { captions = [], gap = 4, scale = 1, group = Math.max(1, rows.length) } = options;
  checkWhole('group', group, 1, 65_536);
  const bare = rows.map(({ images }) => ({ images }));
  const picture = inColour(imageRows(bare, { gap, scale }));
  const [, height = 0, width = 0] = (rows[0] as ImageRow).images.shape;
  const [tileHeight, tileWidth] = [height * scale, width * scale];
  const columns = (picture.shape[1] + gap) / (tileWidth + gap);
  if (captions.length > columns) {
    const message = `${captions.length} captions for ${columns} columns; give one a column at most`;
    throw new DiffuseError('ERR_SHAPE', message);
  }
  const groupGap = Math.max(gap, Math.round(tileHeight / 4));
  const rowTops = rows.map((_, row) => row * (tileHeight + gap) + Math.floor(row / group) * groupGap);
  return { picture, tileHeight, tileWidth, stepDown: tileHeight + gap, stepRight: tileWidth + gap, rowTops };
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

/** A band of an image: `height` rows of pixels from `top`, uncopied. */
function bandOf({ data, shape: [, width, channels] }: RawImage, top: number, height: number): RawImage {
  const rowBytes = width * channels;
  return { data: data.subarray(top * rowBytes, (top + height) * rowBytes), shape: [height, width, channels] };
}

/** @throws DiffuseError `ERR_ARGUMENT` for a text size out of range. */
function textSizeOf({ textSize }: CaptionedRowsOptions, tileWidth: number): number {
  const size = textSize ?? Math.min(20, Math.max(12, Math.round(tileWidth / 7)));
  if (size >= 4 && size <= 200) return size;
  throw new DiffuseError('ERR_ARGUMENT', `textSize must be a number of pixels from 4 to 200; got ${size}`);
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
