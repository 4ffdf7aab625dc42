import { DiffuseError } from '@diffuse/core';
import { drawText, glyphHeight, textWidth } from './bitmap-font.ts';
import { blankImage, checkWhole, enlarge, type Images, imageAt, paste, type RawImage, toBytes } from './images.ts';

/** Options of {@link imageGrid}. */
export interface ImageGridOptions {
  /** Images in a row, no more than there are. Default: as many as there are rows, or one more. */
  readonly columns?: number;
  /** White pixels between the images. Default 2. */
  readonly gap?: number;
  /** Whole factor by which every image is enlarged, pixels becoming squares. Default 1. */
  readonly scale?: number;
}

/**
 * Lays images out row by row. Places that are left over are grey, or transparent where images have an alpha channel: white would look
 * like one more image.
 *
 * @returns uint8 [rows · (height · scale + gap) − gap, columns · (width · scale + gap) − gap, channels].
 * @throws DiffuseError `ERR_ARGUMENT` for bad options; and what `images` deserve: `ERR_SHAPE`, `ERR_DTYPE`,
 * `ERR_NON_FINITE`.
 */
export function imageGrid(images: Images, options: ImageGridOptions = {}): RawImage {
  const bytes = toBytes(images);
  const count = images.shape[0];
  const { gap = 2, scale = 1 } = options;
  checkWhole('columns', options.columns ?? 1, 1, 65_536);
  const columns = Math.min(count, options.columns ?? Math.ceil(Math.sqrt(count)));
  const rows = Math.ceil(count / columns);
  const free = freePlace(imageAt(bytes, images, 0).shape);
  const tiles = Array.from({ length: rows * columns }, (_, i) => (i < count ? imageAt(bytes, images, i) : free));
  return layOut(
    Array.from({ length: rows }, (_, row) => tiles.slice(row * columns, (row + 1) * columns)),
    imageAt(bytes, images, 0).shape,
    columns,
    gap,
    scale,
  );
}

/** Halfway between the white around images and what is dark in them. */
const freeGrey = 0xc0;

function freePlace(shape: RawImage['shape']): RawImage {
  const [height, width, channels] = shape;
  return { data: new Uint8Array(height * width * channels).fill(channels === 4 ? 0 : freeGrey), shape };
}

/** One row of a picture of rows. */
export interface ImageRow {
  /** Left to right. All rows have images of the same height, width and channels. */
  readonly images: Images;
  /** A short text to the left of the row, in ASCII; other characters show as `?`. */
  readonly label?: string;
}

/** Options of {@link imageRows}. */
export type ImageRowsOptions = Omit<ImageGridOptions, 'columns'>;

/**
 * Lays batches out as rows with labels: a trajectory, say, with x_t, the predicted noise and the x0 estimate below
 * each other.
 *
 * @throws DiffuseError `ERR_SHAPE` when there are no rows or their images differ in size; `ERR_ARGUMENT` for bad
 * options; and what images deserve.
 */
export function imageRows(rows: readonly ImageRow[], options: ImageRowsOptions = {}): RawImage {
  const { gap = 2, scale = 1 } = options;
  const [first] = rows;
  if (!first) throw new DiffuseError('ERR_SHAPE', 'a picture of rows needs at least one row');
  const [, height, width, channels] = first.images.shape;
  for (const [i, { images }] of rows.entries()) {
    if (images.shape.slice(1).join() !== first.images.shape.slice(1).join()) {
      throw new DiffuseError(
        'ERR_SHAPE',
        `all rows need images of ${height} x ${width} x ${channels}; ` +
          `those of row ${i} are ${images.shape.slice(1).join(' x ')}`,
      );
    }
  }
  const tiles = rows.map(({ images }) => {
    const bytes = toBytes(images);
    return Array.from({ length: images.shape[0] }, (_, i) => imageAt(bytes, images, i));
  });
  const columns = Math.max(...tiles.map((row) => row.length));
  const picture = layOut(tiles, [height, width, channels], columns, gap, scale);
  const labels = rows.map(({ label = '' }) => label);
  return labels.every((label) => label === '') ? picture : withLabels(picture, labels, height * scale, gap);
}

function layOut(
  rows: readonly (readonly RawImage[])[],
  shape: RawImage['shape'],
  columns: number,
  gap: number,
  scale: number,
): RawImage {
  checkWhole('gap', gap, 0, 1024);
  checkWhole('scale', scale, 1, 64);
  const [height, width, channels] = shape;
  const stepDown = height * scale + gap;
  const stepRight = width * scale + gap;
  const sides = [rows.length * stepDown - gap, columns * stepRight - gap] as const;
  if (sides[0] * sides[1] * channels > 2 ** 31) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `a picture of ${sides.join(' x ')} pixels is too large; use fewer images or a smaller scale`,
    );
  }
  const canvas = blankImage(...sides, channels);
  rows.forEach((row, down) => {
    row.forEach((image, right) => {
      paste(canvas, enlarge(image, scale), down * stepDown, right * stepRight);
    });
  });
  return canvas;
}

/** Adds a margin on the left with black text, each label at the middle of its row. */
function withLabels(picture: RawImage, labels: readonly string[], rowHeight: number, gap: number): RawImage {
  const [height, width, channels] = picture.shape;
  // A third of the row's height reads well beside small images and does not dwarf them.
  const textScale = Math.max(1, Math.floor(rowHeight / (3 * glyphHeight)));
  const margin = 4 * textScale;
  const left = margin + Math.max(...labels.map((label) => textWidth(label, textScale))) + margin;
  // Text that is higher than its row sticks out of a lone row of tiny images: the canvas is at least one line high.
  const canvas = blankImage(Math.max(height, glyphHeight * textScale), left + width, channels);
  paste(canvas, picture, 0, left);
  labels.forEach((label, row) => {
    const middle = row * (rowHeight + gap) + rowHeight / 2;
    const top = Math.min(
      Math.max(0, Math.round(middle - (glyphHeight * textScale) / 2)),
      canvas.shape[0] - glyphHeight * textScale,
    );
    drawText(canvas, label, top, margin, textScale);
  });
  return canvas;
}
