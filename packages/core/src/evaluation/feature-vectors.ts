import { DiffuseError } from '../native/errors.ts';
import { permutation } from '../random/philox.ts';
import type { Pace } from './pace.ts';

/** A set of vectors to be compared with another: one row a sample. */
export interface FeatureVectors {
  /** float32 or float64 [count, dimensions], row-major, finite. */
  readonly data: Float32Array | Float64Array;
  readonly shape: readonly [count: number, dimensions: number];
}

/** Values looked at between two looks at the clock. */
const CHECKED_AT_ONCE = 2 ** 16;

/**
 * Refuses what is no set of at least `least` finite vectors.
 *
 * @param name what the message calls the set.
 * @param purpose completes "… needs at least N vectors".
 * @throws DiffuseError `ERR_SHAPE`, `ERR_DTYPE`, `ERR_ARGUMENT` for too few, `ERR_NON_FINITE` naming the first bad value.
 */
export async function checkFeatures(
  name: string,
  features: FeatureVectors,
  { least, purpose, pace }: { readonly least: number; readonly purpose: string; readonly pace: Pace },
): Promise<void> {
  const { data, shape } = features;
  const [count, dimensions] = shape;
  if (shape.length !== 2 || !Number.isInteger(count) || !Number.isInteger(dimensions) || count < 0 || dimensions < 1) {
    throw new DiffuseError('ERR_SHAPE', `${name} must have the shape [count, dimensions]; got [${shape.join(', ')}]`);
  }
  if (!(data instanceof Float32Array || data instanceof Float64Array)) {
    throw new DiffuseError('ERR_DTYPE', `the data of ${name} must be a Float32Array or a Float64Array`);
  }
  if (data.length !== count * dimensions) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `${name} of [${shape.join(', ')}] has ${count * dimensions} values; got ${data.length}`,
    );
  }
  if (count < least) {
    throw new DiffuseError('ERR_ARGUMENT', `${purpose} needs at least ${least} vectors; ${name} has ${count}`);
  }
  for (let begin = 0; begin < data.length; begin += CHECKED_AT_ONCE) {
    const end = Math.min(begin + CHECKED_AT_ONCE, data.length);
    for (let i = begin; i < end; i++) {
      if (Number.isFinite(data[i])) continue;
      const place = `[${Math.floor(i / dimensions)}, ${i % dimensions}]`;
      throw new DiffuseError('ERR_NON_FINITE', `${name} must be finite; the value at ${place} is ${data[i]}`);
    }
    await pace();
  }
}

/**
 * As {@link checkFeatures}, for both sets.
 *
 * @throws DiffuseError also `ERR_SHAPE` when the dimensions differ.
 */
export async function checkPair(
  real: FeatureVectors,
  generated: FeatureVectors,
  options: { readonly least: number; readonly purpose: string; readonly pace: Pace },
): Promise<void> {
  await checkFeatures('real', real, options);
  await checkFeatures('generated', generated, options);
  checkDimensions(real.shape[1], generated.shape[1]);
}

/** Refuses sets that are not of one space. @throws DiffuseError `ERR_SHAPE` */
export function checkDimensions(real: number, generated: number): void {
  if (real === generated) return;
  const problem = `real has vectors of ${real} dimensions, generated of ${generated}; both must come from one network`;
  throw new DiffuseError('ERR_SHAPE', problem);
}

/** Refuses what is no whole number from `lowest` to `highest`. @throws DiffuseError `ERR_ARGUMENT` */
export function checkWhole(name: string, value: number, lowest: number, highest: number): void {
  if (Number.isInteger(value) && value >= lowest && value <= highest) return;
  throw new DiffuseError('ERR_ARGUMENT', `${name} must be a whole number from ${lowest} to ${highest}; got ${value}`);
}

/**
 * `size` of the vectors without repetition, uniformly chosen; all of them, in their order, when there are no more.
 *
 * @param seed an integer from 0 to 2^53 - 1; the same seed and draw choose the same vectors.
 * @param draw number of the choice, from 0 to 2^32 - 1.
 */
export function chooseVectors(features: FeatureVectors, size: number, seed: number, draw: number): FeatureVectors {
  const [count, dimensions] = features.shape;
  if (size >= count) return features;
  const data = new Float64Array(size * dimensions);
  const order = permutation(seed, draw, count);
  for (let i = 0; i < size; i++) {
    const from = (order[i] as number) * dimensions;
    data.set(features.data.subarray(from, from + dimensions), i * dimensions);
  }
  return { data, shape: [size, dimensions] };
}
