import { DiffuseError } from '@diffuse/core';

/** A batch of images of one size. */
export interface Images {
  /** [count, height, width, channels]: Float32Array in [-1, 1] (beyond is clamped) or Uint8Array 0 … 255. */
  readonly data: Float32Array | Uint8Array;
  /** `channels` is 1 (grey), 3 (RGB) or 4 (RGB and alpha). */
  readonly shape: readonly [count: number, height: number, width: number, channels: number];
}

/** One image as bytes. */
export interface RawImage {
  /** uint8 [height, width, channels]. */
  readonly data: Uint8Array;
  readonly shape: readonly [height: number, width: number, channels: number];
}

/**
 * Images as bytes: floats x become round((x + 1) · 127.5), clamped to 0 … 255; bytes stay as they are, uncopied.
 *
 * @returns uint8 [count, height, width, channels].
 * @throws DiffuseError `ERR_SHAPE` when shape and data do not fit or there is nothing to show; `ERR_NON_FINITE` names
 * the first value that is no number.
 */
export function toBytes(images: Images): Uint8Array {
  const { data } = images;
  checkShape(images);
  if (data instanceof Uint8Array) return data;
  const bytes = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    if (!Number.isFinite(value)) throw nonFinite(images, i);
    bytes[i] = Math.min(255, Math.max(0, Math.round((value + 1) * 127.5)));
  }
  return bytes;
}

/** Image `index` of a batch that {@link toBytes} made, without a copy. */
export function imageAt(bytes: Uint8Array, { shape }: Pick<Images, 'shape'>, index: number): RawImage {
  const [, height, width, channels] = shape;
  const size = height * width * channels;
  return { data: bytes.subarray(index * size, (index + 1) * size), shape: [height, width, channels] };
}

/**
 * Enlarges an image by a whole factor; every pixel becomes a square.
 *
 * @throws DiffuseError `ERR_ARGUMENT` unless `scale` is a whole number from 1 to 64.
 */
export function enlarge(image: RawImage, scale: number): RawImage {
  checkWhole('scale', scale, 1, 64);
  if (scale === 1) return image;
  const [height, width, channels] = image.shape;
  const data = new Uint8Array(height * width * channels * scale * scale);
  const rowBytes = width * scale * channels;
  for (let y = 0; y < height; y++) {
    const start = y * scale * rowBytes;
    for (let x = 0; x < width * scale; x++) {
      const from = (y * width + Math.floor(x / scale)) * channels;
      for (let c = 0; c < channels; c++) data[start + x * channels + c] = image.data[from + c] as number;
    }
    for (let copy = 1; copy < scale; copy++) data.copyWithin(start + copy * rowBytes, start, start + rowBytes);
  }
  return { data, shape: [height * scale, width * scale, channels] };
}

/** A white image, opaque if it has alpha. */
export function blankImage(height: number, width: number, channels: number): RawImage {
  return { data: new Uint8Array(height * width * channels).fill(255), shape: [height, width, channels] };
}

/** Copies `image` into `canvas`, its upper left corner at (top, left). Both have the same channels; it must fit. */
export function paste(canvas: RawImage, image: RawImage, top: number, left: number): void {
  const [, canvasWidth, channels] = canvas.shape;
  const [height, width] = image.shape;
  for (let y = 0; y < height; y++) {
    const row = image.data.subarray(y * width * channels, (y + 1) * width * channels);
    canvas.data.set(row, ((top + y) * canvasWidth + left) * channels);
  }
}

/** Refuses what is no whole number from `lowest` to `highest`. */
export function checkWhole(name: string, value: number, lowest: number, highest: number): void {
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw new DiffuseError('ERR_ARGUMENT', `${name} must be a whole number from ${lowest} to ${highest}; got ${value}`);
  }
}

function checkShape({ data, shape }: Images): void {
  const [count, height, width, channels] = shape;
  const sized = shape.length === 4 && [count, height, width].every((side) => Number.isInteger(side) && side > 0);
  if (!sized || ![1, 3, 4].includes(channels)) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `images must have the shape [count, height, width, 1 | 3 | 4], no side 0; got [${shape.join(', ')}]`,
    );
  }
  if (!(data instanceof Float32Array || data instanceof Uint8Array)) {
    throw new DiffuseError('ERR_DTYPE', 'the data of images must be a Float32Array in [-1, 1] or a Uint8Array');
  }
  const expected = count * height * width * channels;
  if (data.length !== expected) {
    throw new DiffuseError('ERR_SHAPE', `images of [${shape.join(', ')}] have ${expected} values; got ${data.length}`);
  }
}

function nonFinite({ data, shape }: Images, index: number): DiffuseError {
  const [, height, width, channels] = shape;
  const pixel = Math.floor(index / channels);
  const position = [
    Math.floor(pixel / (height * width)),
    Math.floor(pixel / width) % height,
    pixel % width,
    index % channels,
  ];
  return new DiffuseError(
    'ERR_NON_FINITE',
    `images must be finite; value ${index} ([image, y, x, channel] = [${position.join(', ')}]) is ${data[index]}`,
  );
}
