import { elementCount, type Graph, type KernelName, type Node, type Shape } from '@diffuse/core';

/** Floating-point operations of a graph; a multiplication and an addition are two. */
export interface FlopCount {
  readonly total: number;
  /** By kind of layer, largest first. */
  readonly byKind: Readonly<Record<string, number>>;
}

/** Counts one kernel call from the shapes of its tensors. */
interface Rule {
  readonly kind: string;
  readonly count: (shape: (tensor: string) => Shape) => number;
}

/** A product of [rows, inner] and [inner, columns]. */
const product = (rows: number, inner: number, columns: number): number => 2 * rows * inner * columns;
const rowsOf = (shape: Shape): number => elementCount(shape) / last(shape);

/** Each output element of a convolution is a sum over the kernel's window: the same count forward and backward. */
const convolution = (output: string, window: string): Rule => ({
  kind: 'convolution',
  count: (shape) =>
    product(rowsOf(shape(output)), elementCount(shape(window)) / last(shape(window)), last(shape(window))),
});

const linear = (rows: string, weight: string): Rule => ({
  kind: 'linear',
  count: (shape) => product(rowsOf(shape(rows)), elementCount(shape(weight)), 1),
});

/** `products` of queries with keys, or of such a matrix with values: [N, S, S] by C each. */
const attention = (products: number): Rule => ({
  kind: 'attention',
  count: (shape) => {
    const [batch = 1, tokens = 1, channels = 1] = shape('q');
    return products * batch * product(tokens, channels, tokens);
  },
});

/** The kernels that do nearly all of the work. */
const rules: { readonly [Name in KernelName]?: Rule } = {
  conv2d_forward: convolution('y', 'weight'),
  conv2d_data_gradient: convolution('dy', 'weight'),
  conv2d_weight_gradient: convolution('dy', 'dweight'),
  linear_forward: linear('x', 'weight'),
  linear_data_gradient: linear('dy', 'weight'),
  linear_weight_gradient: linear('x', 'dweight'),
  matmul: {
    kind: 'linear',
    count: (shape) => product(rowsOf(shape('c')), elementCount(shape('a')) / rowsOf(shape('c')), last(shape('c'))),
  },
  attention_forward: attention(2),
  // The scores once more, then the gradients of scores, queries, keys and values.
  attention_backward: attention(5),
};

/**
 * Counts the floating-point operations of convolutions, linear maps, matrix products and attention; what is done element by
 * element is left out, as everywhere in the literature.
 */
export function countFlops(graph: Graph): FlopCount {
  const counts = new Map<string, number>();
  for (const node of graph.nodes) {
    const rule = rules[node.kernel];
    if (rule) counts.set(rule.kind, (counts.get(rule.kind) ?? 0) + rule.count((tensor) => shapeOf(node, tensor)));
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return { total: sorted.reduce((sum, [, count]) => sum + count, 0), byKind: Object.fromEntries(sorted) };
}

function shapeOf(node: Node, tensor: string): Shape {
  return (node.inputs.get(tensor) ?? node.outputs.get(tensor))?.shape ?? [0];
}

function last(shape: Shape): number {
  return shape.at(-1) ?? 1;
}
