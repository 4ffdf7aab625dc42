import type { Value } from '@diffuse/core';
import type { CaseInput, OpCase, Tensor64 } from '../op-case.ts';

/** An {@link OpCase} whose inputs are known by name, so that `build` and `reference` need no casts. */
export interface TypedCase<Name extends string> extends Omit<OpCase, 'inputs' | 'build' | 'reference' | 'gradients'> {
  readonly inputs: Readonly<Record<Name, CaseInput>>;
  readonly build: (inputs: Readonly<Record<Name, Value>>) => Readonly<Record<string, Value>>;
  readonly reference: (inputs: Readonly<Record<Name, Tensor64>>) => Readonly<Record<string, Tensor64>>;
  readonly gradients?: readonly NoInfer<Name>[];
}

/** Makes an op case of one with typed inputs. */
export function typedCase<Name extends string>(typed: TypedCase<Name>): OpCase {
  return typed as unknown as OpCase;
}

/** Shapes of activations on which kernels take different paths: one element, tails of vectors, whole panels, many pixels. */
export const activationShapes: readonly (readonly [what: string, shape: readonly number[]])[] = [
  ['one element', [1, 1, 1]],
  ['7 channels', [2, 3, 5, 7]],
  ['33 channels', [2, 5, 3, 33]],
  ['64 channels', [3, 4, 4, 64]],
  ['100 channels of 77 pixels', [1, 7, 11, 100]],
  ['more than one task', [3, 30, 40, 5]],
];

/** Element of a reference tensor; its index must be inside. */
export function at(tensor: Tensor64, index: number): number {
  return tensor.data[index] as number;
}

/** A tensor seen as N samples of P pixels of C channels. */
export function sizesOf({ shape, data }: Tensor64): { N: number; P: number; C: number } {
  const N = shape[0] as number;
  const C = shape.at(-1) as number;
  return { N, P: data.length / N / C, C };
}
