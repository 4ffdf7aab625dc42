import { type DType, elementCount, type Shape, type Value } from '@diffuse/core';

/** A float64 tensor: what references compute with. */
export interface Tensor64 {
  readonly shape: Shape;
  /** Row-major, `elementCount(shape)` numbers. */
  readonly data: Float64Array;
}

/** One input of an op case. */
export interface CaseInput {
  readonly shape: Shape;
  /** Default float32. */
  readonly dtype?: DType;
  /** The numbers; default standard normal noise for float32, `0 … 9` for integers, `0 … 255` for bytes. */
  readonly values?: (index: number) => number;
}

/**
 * One test case of an op. It drives every check there is: each instruction set and number of threads against the float64
 * reference, tensors that are views into wider ones, the op's gradient against finite differences of the reference.
 */
export interface OpCase {
  /** Op and what is special about the shapes, e.g. `silu, 7 channels`. */
  readonly name: string;
  readonly inputs: Readonly<Record<string, CaseInput>>;
  /** Emits the op; returns its outputs by name. */
  readonly build: (inputs: Readonly<Record<string, Value>>) => Readonly<Record<string, Value>>;
  /** The same in float64, straight from the formula. */
  readonly reference: (inputs: Readonly<Record<string, Tensor64>>) => Readonly<Record<string, Tensor64>>;
  /** Largest |difference| over the largest |reference| of an output or gradient; default 2e-6. */
  readonly tolerance?: number;
  /**
   * Inputs whose gradient is checked against finite differences of the reference; default all float32 inputs, [] for ops without
   * a gradient.
   */
  readonly gradients?: readonly string[];
  /** Outputs that the gradient check takes part in; default all. (An op may have outputs that it does not differentiate.) */
  readonly differentiable?: readonly string[];
  /** False for ops that need contiguous tensors; default true: also run with inputs and outputs inside wider tensors. */
  readonly views?: boolean;
}

/** Makes a reference tensor by computing each element from its index. */
export function tensor64(shape: Shape, element: (index: number) => number): Tensor64 {
  return { shape, data: Float64Array.from({ length: elementCount(shape) }, (_, i) => element(i)) };
}
