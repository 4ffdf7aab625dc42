import { attention, conv2d, Graph, gradient, linear, matmul } from '@diffuse/core';
import { expect, test } from 'vitest';
import { countFlops } from '../src/flops.ts';

test('counts follow from the definitions of the ops', () => {
  const graph = new Graph();
  // 2 N Ho Wo kh kw C K
  conv2d(graph.input('x', [2, 8, 6, 5]), graph.input('w', [3, 3, 5, 7]), undefined, { stride: 2, padding: 1 });
  const convolution = 2 * 2 * 4 * 3 * 9 * 5 * 7;
  // 2 rows C K
  linear(graph.input('a', [4, 9, 3]), graph.input('b', [3, 11]));
  matmul(graph.input('c', [13, 17]), graph.input('d', [19, 17]), { transposeB: true });
  const products = 2 * 4 * 9 * 3 * 11 + 2 * 13 * 17 * 19;
  // Two products of S x S by C, however many heads
  const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, [2, 10, 8]));
  if (!q || !k || !v) throw new Error('unreachable');
  attention(q, k, v, { heads: 2 });
  const scores = 2 * 2 * 2 * 10 * 10 * 8;
  expect(countFlops(graph)).toEqual({
    total: convolution + products + scores,
    byKind: { linear: products, convolution, attention: scores },
  });
});

test('a gradient takes twice the work of its forward pass', () => {
  const graph = new Graph();
  const x = graph.input('x', [1, 4, 4, 3]);
  const weight = graph.input('w', [3, 3, 3, 5]);
  const y = conv2d(x, weight, undefined, { padding: 1 });
  const forward = countFlops(graph).total;
  gradient([{ value: y, gradient: graph.input('dy', y.shape) }], [x, weight]);
  expect(countFlops(graph).total).toBe(3 * forward);
});
