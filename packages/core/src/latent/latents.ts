import { elementCount, Graph, sliceChannels, type Value } from '../graph/graph.ts';
import { copy } from '../graph/ops/elementwise.ts';
import { compile, type Program } from '../graph/program.ts';
import type { Autoencoder } from '../models/autoencoder.ts';
import { parameterValues, weightsOn } from '../models/weights.ts';
import type { Device } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Dataset } from '../training/dataset.ts';

/** What {@link encodeImages} and {@link decodeLatents} run with. */
export interface CodingOptions {
  readonly model: Autoencoder;
  readonly device: Device;
  /** Images computed at once. */
  readonly batchSize?: number;
  /** Use the average of the weights where the model has one. */
  readonly ema?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Latents of images, ready to be diffused: data for `train`, of standard deviation 1. */
export interface Latents extends Dataset {
  readonly shape: readonly [height: number, width: number, channels: number];
  readonly dtype: 'f32';
  /** float32 [count, ...shape] */
  readonly data: Float32Array;
  /** What the encoder's means were multiplied with: 1 over their standard deviation. {@link decodeLatents} needs it. */
  readonly scale: number;
}

/**
 * Puts all images of a data set into latents: the encoder's means, scaled to a standard deviation of 1 over all of their values, as
 * noise schedules expect of data (Rombach et al. 2022, arXiv:2112.10752, appendix G).
 *
 * @throws `ERR_ARGUMENT` when the autoencoder has no weights, `ERR_SHAPE` for data of another shape, `ERR_DTYPE` for int32,
 *   `ERR_NON_FINITE` when all latents are one, `ERR_CANCELLED`.
 */
export async function encodeImages(data: Dataset, options: CodingOptions): Promise<Latents> {
  const { model } = options;
  const batchSize = checkBatch(options.batchSize ?? 64);
  checkData(data, model);
  const size = elementCount(model.shape);
  const latentSize = elementCount(model.latentShape);
  const latents = new Float32Array(data.count * latentSize);
  using program = compileHalf(options, model.shape, batchSize, meansOf);
  for (let offset = 0; offset < data.count; offset += batchSize) {
    const count = Math.min(batchSize, data.count - offset);
    const indices = Int32Array.from({ length: count }, (_, i) => offset + i);
    const x = new Float32Array(batchSize * size);
    x.set(await readFloats(data, indices, size));
    const { y } = await program.run({ inputs: { x }, signal: options.signal });
    latents.set(y.subarray(0, count * latentSize), offset * latentSize);
  }
  const scale = 1 / deviationOf(latents);
  if (!Number.isFinite(scale)) {
    throw new DiffuseError('ERR_NON_FINITE', 'the latents cannot be scaled: they are all one, or not finite');
  }
  const scaled = latents.map((value) => value * scale);
  return {
    shape: model.latentShape,
    dtype: 'f32',
    data: scaled,
    scale,
    count: data.count,
    fingerprint: `latents, scale ${scale}, of ${data.fingerprint}`,
    ...(data.labels && { labels: data.labels }),
    ...(data.classNames && { classNames: data.classNames }),
    async read(indices, target) {
      for (const [row, index] of indices.entries()) {
        target.set(scaled.subarray(index * latentSize, (index + 1) * latentSize), row * latentSize);
      }
    },
  };
}

/**
 * Makes images of latents, such as `sample` draws of a model that was trained on {@link Latents}.
 *
 * @param latents float32 [count, ...latentShape], of standard deviation about 1.
 * @param scale that of the {@link Latents}.
 * @returns float32 [count, ...shape], values in about [-1, 1].
 * @throws `ERR_ARGUMENT`, `ERR_SHAPE` when these are no whole latents, `ERR_CANCELLED`.
 */
export async function decodeLatents(
  latents: Float32Array,
  scale: number,
  options: CodingOptions,
): Promise<Float32Array> {
  const { model } = options;
  const batchSize = checkBatch(options.batchSize ?? 64);
  const latentSize = elementCount(model.latentShape);
  const size = elementCount(model.shape);
  if (latents.length % latentSize !== 0) {
    throw new DiffuseError('ERR_SHAPE', `${latents.length} numbers are no latents of ${latentSize} each`);
  }
  if (!(scale > 0 && Number.isFinite(scale))) {
    throw new DiffuseError('ERR_ARGUMENT', `the scale of the latents is ${scale}; it must be above 0`);
  }
  const count = latents.length / latentSize;
  const images = new Float32Array(count * size);
  using program = compileHalf(options, model.latentShape, batchSize, (x, parameter) => model.decode(x, { parameter }));
  for (let offset = 0; offset < count; offset += batchSize) {
    const taken = Math.min(batchSize, count - offset);
    const x = new Float32Array(batchSize * latentSize);
    for (let i = 0; i < taken * latentSize; i++) x[i] = (latents[offset * latentSize + i] ?? 0) / scale;
    const { y } = await program.run({ inputs: { x }, signal: options.signal });
    images.set(y.subarray(0, taken * size), offset * size);
  }
  return images;
}

type Half = (x: Value, parameter: (name: string) => Value, model: Autoencoder) => Value;

/** The first half of the moments. A copy, as outputs are read from memory of their own. */
function meansOf(x: Value, parameter: (name: string) => Value, model: Autoencoder): Value {
  return copy(sliceChannels(model.encode(x, { parameter }), 0, model.latentShape[2]));
}

function compileHalf(
  { model, device, ema = true }: CodingOptions,
  shape: readonly number[],
  batchSize: number,
  half: Half,
): Program<'y'> {
  const weights = weightsOn(model, device);
  const graph = new Graph();
  const values = parameterValues(graph, weights.table);
  const y = half(graph.input('x', [batchSize, ...shape]), (name) => values.get(name) as Value, model);
  const parameters = (ema ? weights.ema : undefined) ?? weights.parameters;
  return compile(graph, { device, buffers: { parameters }, outputs: { y } });
}

async function readFloats(data: Dataset, indices: Int32Array, size: number): Promise<Float32Array> {
  const floats = new Float32Array(indices.length * size);
  if (data.dtype === 'f32') {
    await data.read(indices, floats);
    return floats;
  }
  const bytes = new Uint8Array(floats.length);
  await data.read(indices, bytes);
  return floats.map((_, i) => (bytes[i] ?? 0) / 127.5 - 1);
}

function deviationOf(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

function checkBatch(batchSize: number): number {
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    throw new DiffuseError('ERR_ARGUMENT', `batchSize is ${batchSize}; it must be a positive integer`);
  }
  return batchSize;
}

function checkData({ shape, dtype }: Dataset, model: Autoencoder): void {
  if (dtype === 'i32') throw new DiffuseError('ERR_DTYPE', 'an autoencoder takes bytes or float32, not int32');
  if (shape.join() !== model.shape.join()) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `the data are [${shape.join(', ')}], the autoencoder takes [${model.shape.join(', ')}]`,
    );
  }
}
