import { elementCount, shapeText } from '../graph/graph.ts';
import type { Model } from '../models/model.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose, permutation } from '../random/philox.ts';
import { checkInteger } from '../schedules/checks.ts';
import type { Dataset } from '../training/dataset.ts';
import { fillUniform } from './host-random.ts';
import { keepPace, type PaceOptions } from './pace.ts';

/** Samples as an evaluation reads them. */
export interface EvaluationBatch {
  /** float32 [count, ...shape]; bytes as 2 byte / 255 - 1, in [-1, 1]. */
  readonly x0: Float32Array;
  /** int32 [count], for models that are told a class. */
  readonly labels: Int32Array | undefined;
}

/** The samples of a data set that an evaluation looks at, in the order in which it does. */
export interface EvaluationData {
  /** How many. */
  readonly count: number;
  /** Elements of a sample. */
  readonly dimensions: number;
  /** Whether the data are bytes; otherwise they are float32. */
  readonly discrete: boolean;
  /** Positions [first, first + count) of the order. */
  read(first: number, count: number): Promise<EvaluationBatch>;
}

/** Options of {@link evaluationData}. */
export interface EvaluationDataOptions {
  readonly model: Model;
  readonly data: Dataset;
  /** How many samples, a random choice; default all. */
  readonly count?: number | undefined;
  readonly seed: number;
  /** Adds uniform noise of the width of a level to bytes, so that they have a density. */
  readonly dequantise?: boolean;
}

/**
 * Chooses samples and makes numbers of them. Which ones are chosen, and their noise, depends on the seed alone.
 *
 * @throws `ERR_SHAPE` when the model is one for other data, `ERR_DTYPE` for tokens, `ERR_ARGUMENT` for a count that is not there or
 *   missing labels.
 */
export function evaluationData({
  model,
  data,
  seed,
  dequantise = false,
  ...options
}: EvaluationDataOptions): EvaluationData {
  const { dtype = 'u8' } = data;
  checkNumeric(data);
  if (shapeText(data.shape) !== shapeText(model.shape)) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `the data have the shape ${shapeText(data.shape)}, the model is one for ${shapeText(model.shape)}`,
    );
  }
  const count = checkInteger('count of samples to evaluate', options.count ?? data.count, 1, data.count);
  const labelOf = labelling(model, data);
  const order = permutation(seed, 0, data.count);
  const dimensions = elementCount(data.shape);
  return {
    count,
    dimensions,
    discrete: dtype === 'u8',
    async read(first, wanted) {
      const indices = order.slice(first, first + wanted);
      const x0 = await readNumbers(data, indices);
      if (dequantise && dtype === 'u8') spread(x0, dimensions, { seed, first });
      return { x0, labels: labelOf && Int32Array.from(indices, labelOf) };
    },
  };
}

/** Samples as numbers: bytes as 2 byte / 255 - 1, float32 as it is. */
async function readNumbers(data: Dataset, indices: Int32Array): Promise<Float32Array> {
  const x0 = new Float32Array(indices.length * elementCount(data.shape));
  if (data.dtype === 'f32') {
    await data.read(indices, x0);
  } else {
    const bytes = new Uint8Array(x0.length);
    await data.read(indices, bytes);
    for (let i = 0; i < x0.length; i++) x0[i] = (2 * (bytes[i] as number)) / 255 - 1;
  }
  return x0;
}

/**
 * The samples of a data set as the points of an ideal denoiser, in the numbers that networks see.
 *
 * @param options `count`: how many, a random choice by the seed; default all.
 * @throws `ERR_DTYPE` for tokens, `ERR_ARGUMENT` for a count that is not there, `ERR_CANCELLED`.
 */
export async function dataPoints(
  data: Dataset,
  options: PaceOptions & { readonly count?: number; readonly seed?: number } = {},
): Promise<{ readonly points: Float32Array; readonly dimensions: number }> {
  checkNumeric(data);
  const count = checkInteger('count of points', options.count ?? data.count, 1, data.count);
  const chosen = permutation(options.seed ?? 0, 0, data.count).subarray(0, count);
  const dimensions = elementCount(data.shape);
  const points = new Float32Array(count * dimensions);
  const pace = keepPace(options.signal, 'reading the data');
  for (let first = 0; first < count; first += READ_AT_ONCE) {
    points.set(await readNumbers(data, chosen.slice(first, first + READ_AT_ONCE)), first * dimensions);
    await pace();
  }
  return { points, dimensions };
}

/** Samples between two looks at the clock. */
const READ_AT_ONCE = 64;

function checkNumeric({ dtype }: Dataset): void {
  if (dtype === 'i32') {
    throw new DiffuseError('ERR_DTYPE', 'Gaussian noise goes with data of bytes or float32; these are int32');
  }
}

/** Moves each element to a random place of its level, which is 2 / 255 wide and lies around its byte. */
function spread(x0: Float32Array, dimensions: number, { seed, first }: { seed: number; first: number }): void {
  const uniform = new Float64Array(dimensions);
  for (let n = 0; n * dimensions < x0.length; n++) {
    fillUniform(uniform, { seed, purpose: Purpose.dequantisation, step: 0, sample: first + n });
    for (let i = 0; i < dimensions; i++) {
      const at = n * dimensions + i;
      x0[at] = (x0[at] as number) + (2 / 255) * ((uniform[i] as number) - 0.5);
    }
  }
}

/** The label that the model is told for the sample of an index; undefined for models that are told none. */
function labelling(model: Model, { labels }: Dataset): ((index: number) => number) | undefined {
  const { classes, nullClass } = model;
  if (classes === null) return undefined;
  if (!labels) {
    if (nullClass !== null) return () => nullClass;
    throw new DiffuseError('ERR_ARGUMENT', 'the model is told a class, and the data have no labels');
  }
  const largest = labels.reduce((high, label) => Math.max(high, label), 0);
  if (largest >= classes) {
    throw new DiffuseError('ERR_ARGUMENT', `the data have the label ${largest}; the model's are 0 to ${classes - 1}`);
  }
  return (index) => labels[index] as number;
}

/** Batches of nearly equal size, at most `largest`, over `count` samples. */
export function batchesOf(count: number, largest: number): { readonly first: number; readonly count: number }[] {
  checkInteger('batchSize', largest, 1, Number.MAX_SAFE_INTEGER);
  const size = Math.ceil(count / Math.ceil(count / largest));
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => ({
    first: i * size,
    count: Math.min(size, count - i * size),
  }));
}

/** `array` with zeros up to `length`: the last batch may be smaller than the program. */
export function padded<A extends Float32Array | Int32Array>(array: A, length: number): A {
  if (array.length === length) return array;
  const whole = array.constructor === Int32Array ? new Int32Array(length) : new Float32Array(length);
  whole.set(array);
  return whole as A;
}
