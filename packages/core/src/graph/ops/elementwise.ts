import { type Attribute, emit, expectShape, type Graph, type Shape, type Value } from '../graph.ts';

/**
 * Weighted sum, `y = alpha * a + beta * b`.
 *
 * @param a float32 [..., C]
 * @param b float32, the shape of `a`
 */
export function add(a: Value, b: Value, { alpha = 1, beta = 1 }: { alpha?: number; beta?: number } = {}): Value {
  expectShape('second operand of add', b.shape, a.shape);
  return emit({
    kernel: 'add',
    outputs: { y: a.shape },
    inputs: { a, b },
    attributes: { alpha, beta },
    gradient: ({ y: dy }) => ({ a: dy && scale(dy, alpha), b: dy && scale(dy, beta) }),
  }).y;
}

/** `y = factor * x`; x itself where factor is 1. */
export function scale(x: Value, factor: number): Value {
  if (factor === 1) return x;
  return emit({
    kernel: 'scale',
    outputs: { y: x.shape },
    inputs: { x },
    attributes: { factor },
    gradient: ({ y: dy }) => ({ x: dy && scale(dy, factor) }),
  }).y;
}

/**
 * Product element by element, `y = a * b`.
 *
 * @param a float32 [..., C]
 * @param b float32, the shape of `a`
 */
export function multiply(a: Value, b: Value): Value {
  expectShape('second operand of multiply', b.shape, a.shape);
  return emit({
    kernel: 'multiply',
    outputs: { y: a.shape },
    inputs: { a, b },
    gradient: ({ y: dy }, wanted) =>
      dy ? { a: wanted.has('a') ? multiply(dy, b) : undefined, b: wanted.has('b') ? multiply(dy, a) : undefined } : {},
  }).y;
}

/** A float32 tensor with the same number everywhere. */
export function fill(graph: Graph, shape: Shape, value: Attribute): Value {
  return graph.emit({ kernel: 'fill', outputs: { y: shape }, inputs: {}, attributes: { value } }).y;
}

/** A copy in memory of its own. */
export function copy(x: Value): Value {
  return emit({
    kernel: 'copy',
    outputs: { y: x.shape },
    inputs: { x },
    gradient: ({ y: dy }) => ({ x: dy }),
  }).y;
}
