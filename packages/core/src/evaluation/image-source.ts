import { DiffuseError } from '../native/errors.ts';
import type { Dataset } from '../training/dataset.ts';
import { checkImages, type ImagesShape } from './feature-network.ts';

/** Images in memory. */
export interface ImageBatch {
  /** [count, height, width, channels]: Float32Array in [-1, 1] (beyond is clamped) or Uint8Array 0 … 255. */
  readonly data: Float32Array | Uint8Array;
  readonly shape: ImagesShape;
}

/** Images to be judged: a data set, images in memory, or batches that are made while they are looked at. */
export type ImageSource = Dataset | ImageBatch | AsyncIterable<ImageBatch>;

/** Images as bytes, [count, height, width, channels]. */
export interface ByteBatch {
  readonly data: Uint8Array;
  readonly shape: ImagesShape;
}

/** Number of images of a source, if it is known before they are made. */
export function countOf(source: ImageSource): number | undefined {
  if ('read' in source) return source.count;
  return 'data' in source ? source.shape[0] : undefined;
}

/**
 * The images of a source as bytes, in batches of at most `batchSize`. Floats are rounded to bytes as a file would hold them: what is
 * judged is what would be seen, and both sides are treated alike.
 *
 * @throws DiffuseError `ERR_SHAPE`, `ERR_DTYPE`, `ERR_NON_FINITE`; what the source throws.
 */
export async function* byteBatches(name: string, source: ImageSource, batchSize: number): AsyncGenerator<ByteBatch> {
  if ('read' in source) {
    yield* readBatches(name, source, batchSize);
  } else if ('data' in source) {
    yield* splitBatch(name, source, batchSize);
  } else {
    for await (const batch of source) yield* splitBatch(name, batch, batchSize);
  }
}

async function* readBatches(name: string, source: Dataset, batchSize: number): AsyncGenerator<ByteBatch> {
  const { count, shape, dtype = 'u8' } = source;
  if (shape.length !== 3 || dtype !== 'u8') {
    const problem = `${name} must hold images of bytes, [height, width, channels]`;
    throw new DiffuseError('ERR_SHAPE', `${problem}; got ${dtype} [${shape.join(', ')}]`);
  }
  const [height, width, channels] = shape as readonly [number, number, number];
  for (let begin = 0; begin < count; begin += batchSize) {
    const indices = Int32Array.from({ length: Math.min(batchSize, count - begin) }, (_, i) => begin + i);
    const data = new Uint8Array(indices.length * height * width * channels);
    await source.read(indices, data);
    yield { data, shape: [indices.length, height, width, channels] };
  }
}

function* splitBatch(name: string, { data, shape }: ImageBatch, batchSize: number): Generator<ByteBatch> {
  checkImages(name, data, shape);
  const [count, height, width, channels] = shape;
  const size = height * width * channels;
  for (let begin = 0; begin < count; begin += batchSize) {
    const images = Math.min(batchSize, count - begin);
    const part = data.subarray(begin * size, (begin + images) * size);
    yield { data: toBytes(name, part, begin, size), shape: [images, height, width, channels] };
  }
}

function toBytes(name: string, values: Float32Array | Uint8Array, firstImage: number, size: number): Uint8Array {
  if (values instanceof Uint8Array) return values;
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) {
      const image = firstImage + Math.floor(i / size);
      throw new DiffuseError('ERR_NON_FINITE', `${name} must be finite; image ${image} holds ${value}`);
    }
    bytes[i] = Math.min(255, Math.max(0, Math.round((value + 1) * 127.5)));
  }
  return bytes;
}
