import { setImmediate } from 'node:timers/promises';
import { DiffuseError } from '../native/errors.ts';

/**
 * Name, shape and storage order of one parameter. Natively the output channels are innermost; files of PyTorch have them
 * outermost:
 *
 * | layout      | native shape        | file shape          |
 * | ----------- | ------------------- | ------------------- |
 * | plain       | any                 | the same            |
 * | linear      | [Cin, Cout]         | [Cout, Cin]         |
 * | convolution | [kh, kw, Cin, Cout] | [Cout, Cin, kh, kw] |
 */
export interface ParameterLayout {
  /** The key in diffusers' files. */
  readonly name: string;
  /** Native shape. */
  readonly shape: readonly number[];
  readonly layout: 'plain' | 'linear' | 'convolution';
}

/** Elements moved between two turns of the event loop: a millisecond or two of work. */
const MOVE_ELEMENTS = 2 ** 18;

/** Outputs moved together: 64 bytes. */
const OUTPUT_BLOCK = 16;

/** Permutation p of a parameter's dimensions: dimension i of the file is dimension p[i] of the native array. */
export function filePermutation({ shape, layout }: ParameterLayout): readonly number[] {
  if (layout === 'linear') return [1, 0];
  if (layout === 'convolution') return [3, 2, 0, 1];
  return shape.map((_, i) => i);
}

/** The inverse of {@link filePermutation}: dimension i of the native array is dimension q[i] of the file. */
export function nativePermutation(parameter: ParameterLayout): readonly number[] {
  const permutation = filePermutation(parameter);
  return permutation.map((_, i) => permutation.indexOf(i));
}

/** Shape of a parameter in the file. */
export function fileShape(parameter: ParameterLayout): readonly number[] {
  return filePermutation(parameter).map((dimension) => parameter.shape[dimension] as number);
}

/** Number of elements of a parameter. */
export function parameterSize({ shape }: ParameterLayout): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Reorders a parameter from the native order to that of files. The event loop gets its turn between pieces of the work.
 *
 * @param values float32, the native shape, row-major.
 * @returns float32, the file's shape, row-major; `values` itself for the layout 'plain'.
 * @throws DiffuseError `ERR_SHAPE` when the number of values is not that of the shape.
 */
export async function toFileOrder(parameter: ParameterLayout, values: Float32Array): Promise<Float32Array> {
  return reorder(parameter, values, 'file');
}

/**
 * Reorders a parameter from the order of files to the native one; the inverse of {@link toFileOrder}.
 *
 * @param values float32, the file's shape, row-major.
 * @returns float32, the native shape, row-major; `values` itself for the layout 'plain'.
 * @throws DiffuseError `ERR_SHAPE` when the number of values is not that of the shape.
 */
export async function toNativeOrder(parameter: ParameterLayout, values: Float32Array): Promise<Float32Array> {
  return reorder(parameter, values, 'native');
}

async function reorder(
  parameter: ParameterLayout,
  values: Float32Array,
  order: 'file' | 'native',
): Promise<Float32Array> {
  const { name, shape, layout } = parameter;
  const count = parameterSize(parameter);
  if (values.length !== count) {
    const problem = `parameter ${name}: ${values.length} values came; [${shape.join(', ')}] takes ${count}`;
    throw new DiffuseError('ERR_SHAPE', problem);
  }
  if (layout === 'plain') return values;

  // Both layouts are [taps, I, O] natively and [O, I, taps] in the file; a linear map has one tap. A block of outputs is a cache
  // line natively and as many sequential streams in the file.
  const [inputs = 1, outputs = 1] = shape.slice(-2);
  const taps = count / Math.max(1, inputs * outputs);
  const result = new Float32Array(count);
  let budget = MOVE_ELEMENTS;
  for (let block = 0; block < outputs; block += OUTPUT_BLOCK) {
    const end = Math.min(block + OUTPUT_BLOCK, outputs);
    for (let input = 0; input < inputs; input += 1) {
      for (let tap = 0; tap < taps; tap += 1) {
        const native = (tap * inputs + input) * outputs;
        const file = input * taps + tap;
        for (let output = block; output < end; output += 1) {
          if (order === 'file') result[output * inputs * taps + file] = values[native + output] as number;
          else result[native + output] = values[output * inputs * taps + file] as number;
        }
      }
    }
    budget -= (end - block) * inputs * taps;
    if (budget <= 0) {
      budget = MOVE_ELEMENTS;
      await setImmediate();
    }
  }
  return result;
}
