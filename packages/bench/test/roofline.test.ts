import { add, conv2d, Graph, gradient, linear, type Node, type StorageType, type Value } from '@diffuse/core';
import { expect, test } from 'vitest';
import { callShape, kernelCost } from '../src/roofline/kernel-cost.ts';
import { floorMs, type MeasuredCall, roofline } from '../src/roofline/roofline.ts';
import { stepText } from '../src/roofline/roofline-text.ts';

/** The nodes of a convolution and its gradients, by kernel. */
function convolution(channels: number, outputs: number, kernel: number, stride: 1 | 2): Map<string, Node> {
  const graph = new Graph();
  const x = graph.input('x', [2, 8, 8, channels]);
  const weight = graph.input('weight', [kernel, kernel, channels, outputs]);
  const y = conv2d(x, weight, undefined, { stride, padding: (kernel - 1) / 2 });
  gradient([{ value: y, gradient: graph.input('dy', y.shape) }], [x, weight]);
  return new Map(graph.nodes.map((node) => [node.kernel, node]));
}

const parts = ['conv2d_forward', 'conv2d_data_gradient', 'conv2d_weight_gradient'];

test('a convolution and its gradients are as much work; by Winograd a quarter of it is left', () => {
  const nodes = convolution(16, 32, 3, 1);
  const flops = 2 * 9 * 2 * 8 * 8 * 16 * 32;
  for (const part of parts) {
    const node = nodes.get(part) as Node;
    expect(kernelCost(node, 'Winograd, tiles outside')).toMatchObject({ flops, computed: flops / 4 });
    expect(callShape(node)).toBe('2x8x8x16 -> 32, 3x3');
  }
  expect(kernelCost(nodes.get('conv2d_forward') as Node, '').bytes).toBe(4 * (2 * 64 * 16 + 2 * 64 * 32 + 9 * 16 * 32));
});

test.each([
  [3, 16, 3, 1, '2x8x8x3 -> 16, 3x3'],
  [16, 16, 1, 1, '2x8x8x16 -> 16, 1x1'],
  [16, 16, 3, 2, '2x8x8x16 -> 16, 3x3, stride 2'],
] as const)('%d channels to %d, kernel %d, stride %d', (channels, outputs, kernel, stride, shape) => {
  for (const part of parts) {
    const node = convolution(channels, outputs, kernel, stride).get(part) as Node;
    const { flops, computed } = kernelCost(node, 'direct');
    expect(flops).toBe((2 * kernel ** 2 * 2 * 64 * channels * outputs) / stride ** 2);
    expect(computed).toBe(flops);
    expect(callShape(node)).toBe(shape);
  }
});

test('an image in bf16 is two bytes an element; weights stay four', () => {
  const node = convolution(16, 32, 3, 1).get('conv2d_forward') as Node;
  const storageOf = ({ shape }: Value): StorageType => (shape[0] === 2 ? 'bf16' : 'f32');
  const images = 2 * 64 * 16 + 2 * 64 * 32;
  expect(kernelCost(node, '', storageOf).bytes).toBe(2 * images + 4 * 9 * 16 * 32);
});

test('linear maps count their products, sums count bytes', () => {
  const graph = new Graph();
  const x = graph.input('x', [6, 10]);
  add(linear(x, graph.input('weight', [10, 4])), graph.input('b', [6, 4]));
  const [product, sum] = graph.nodes as [Node, Node];
  expect(kernelCost(product, '').flops).toBe(2 * 6 * 10 * 4);
  expect(callShape(product)).toBe('6x10 -> 4');
  expect(kernelCost(sum, '')).toEqual({ flops: 0, computed: 0, bytes: 4 * 3 * 24 });
  expect(callShape(sum)).toBe('6x4');
});

const ceilings = { peakGflops: 100, memoryGBs: 10 };
const calls: readonly MeasuredCall[] = [
  { kernel: 'conv', shape: 'large', timeMs: 5, flops: 4e8, computed: 1e8, bytes: 1e6 },
  { kernel: 'add', shape: 'large', timeMs: 10, flops: 0, computed: 0, bytes: 5e7 },
  { kernel: 'conv', shape: 'small', timeMs: 5, flops: 1e8, computed: 1e8, bytes: 5e7 },
];

test('the floor is what takes longer, arithmetic or memory', () => {
  expect(calls.map((call) => floorMs(call, ceilings))).toEqual([1, 5, 5]);
});

test('calls are put together, the longest first', () => {
  const [first, second] = roofline(calls, ceilings, ({ kernel }) => kernel);
  expect(first).toEqual({
    ...{ name: 'conv', calls: 2, timeMs: 10, share: 0.5, floorMs: 6, bound: 'memory', gflops: 50 },
  });
  expect(second).toMatchObject({ name: 'add', calls: 1, bound: 'memory', gflops: 0 });
});

test('the text tells step, ceilings, floor, kernels and shapes', () => {
  const text = stepText('X, batch 1', calls, ceilings);
  expect(text).toContain('X, batch 1: 20.0 ms a training step in 3 kernel calls');
  expect(text).toContain('floor 11.0 ms, 55.0 % of the step');
  expect(text).toMatch(/conv large +1 +5\.00 +25\.0 % +1\.00 +20\.0 % +compute +80\n/);
});
