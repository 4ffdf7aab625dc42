import type { FileOrder } from '../native/device.ts';

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
  /** Begin at zero instead of random weights: for a branch that at first adds nothing to what it is added to. */
  readonly startsAtZero?: boolean;
}

/** Shape of a parameter in the file. */
export function fileShape({ shape, layout }: ParameterLayout): readonly number[] {
  if (layout === 'plain') return shape;
  const [outputs, inputs, ...taps] = shape.toReversed();
  return [outputs, inputs, ...taps.toReversed()] as number[];
}

/** Number of elements of a parameter. */
export function parameterSize({ shape }: ParameterLayout): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** How a parameter's elements lie in the file, for the device that reorders them; undefined: as on the device. */
export function fileOrder({ shape, layout }: ParameterLayout): FileOrder | undefined {
  if (layout === 'plain') return undefined;
  const [outputs, inputs, ...taps] = shape.toReversed() as [number, number, ...number[]];
  return { taps: taps.reduce((product, size) => product * size, 1), inputs, outputs };
}
