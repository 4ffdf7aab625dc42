import { elementCount, type Node, type Plan, type Shape, type Value } from '@diffuse/core';

/** What a kernel call must do at least. */
export interface KernelCost {
  /** Floating-point operations by the definition of the op, a multiply-add counting two; what is done element by element is not counted. */
  readonly flops: number;
  /** Floating-point operations of the algorithm that our kernel uses: Winograd's needs a quarter. */
  readonly computed: number;
  /** Bytes of all tensors that are read and written, each once. */
  readonly bytes: number;
}

const bytesPerElement = { f32: 4, i32: 4, u8: 1, bf16: 2 } as const;

/** How the elements of a value lie in memory. */
type StorageOf = Plan['storageOf'];

/** F(4x4, 3x3) makes 16 pixels of 36 products instead of 144. */
const winogradFactor = 4;

/**
 * Counts a call from the shapes of its tensors.
 *
 * @param plan how the kernel says it computes the call (`PlannedCall.plan`).
 * @param storageOf the formats of the tensors; default those of the graph.
 */
export function kernelCost(node: Node, plan: string, storageOf: StorageOf = ({ dtype }) => dtype): KernelCost {
  const flops = kernelFlops(node);
  const saved = plan.startsWith('Winograd') ? winogradFactor : 1;
  return { flops, computed: flops / saved, bytes: kernelBytes(node, storageOf) };
}

/** The sizes that tell two calls of one kernel apart: `16x32x32x128 -> 128, 3x3`. */
export function callShape(node: Node): string {
  const weight = weightOf(node);
  if (weight === undefined) return largestShape(node).join('x');
  const outputs = weight.at(-1) ?? 1;
  if (!node.kernel.startsWith('conv2d')) return `${largestRows(node)}x${weight.at(-2) ?? 1} -> ${outputs}`;
  const stride = node.attributes.stride === 1 ? '' : `, stride ${String(node.attributes.stride)}`;
  const pixels = shapeOf(node, 'x') ?? shapeOf(node, 'dx') ?? imagesBefore(shapeOf(node, 'dy') ?? [], node);
  const [batch, height, width] = pixels;
  return `${batch}x${height}x${width}x${weight.at(-2)} -> ${outputs}, ${weight[0]}x${weight[1]}${stride}`;
}

/** Floating-point operations of a call by the definition of its op. */
export function kernelFlops(node: Node): number {
  const weight = weightOf(node);
  if (weight !== undefined) {
    // Every pixel, or row, of the output is a sum over all of the weight but its last dimension; gradients are as much work.
    const rows = node.kernel.startsWith('conv2d')
      ? rowsOf(shapeOf(node, 'y') ?? shapeOf(node, 'dy') ?? [0])
      : largestRows(node);
    return 2 * rows * elementCount(weight);
  }
  switch (node.kernel) {
    case 'matmul': {
      const c = shapeOf(node, 'c') ?? [0];
      return (2 * elementCount(c) * elementCount(shapeOf(node, 'a') ?? [0])) / rowsOf(c);
    }
    case 'attention_forward':
      return attentionFlops(node, 2);
    case 'attention_backward':
      // The scores once more, then the gradients of scores, queries, keys and values.
      return attentionFlops(node, 5);
    default:
      return 0;
  }
}

/** So many products of [tokens, channels] with [channels, tokens] a sample. */
function attentionFlops(node: Node, products: number): number {
  const [batch = 0, tokens = 0, channels = 0] = shapeOf(node, 'q') ?? [];
  return products * 2 * batch * tokens ** 2 * channels;
}

function kernelBytes({ kernel, inputs, outputs }: Node, storageOf: StorageOf): number {
  const sum = (tensors: Iterable<Value>): number =>
    [...tensors].reduce((bytes, value) => bytes + elementCount(value.shape) * bytesPerElement[storageOf(value)], 0);
  // The optimizer changes its outputs in place, so it reads them, too.
  return sum(inputs.values()) + sum(outputs.values()) * (kernel === 'adamw_ema' ? 2 : 1);
}

/** Shape of the weight of convolutions and linear maps, or of its gradient. */
function weightOf(node: Node): Shape | undefined {
  if (!/^(conv2d|linear)_/.test(node.kernel)) return undefined;
  return shapeOf(node, 'weight') ?? shapeOf(node, 'dweight');
}

function shapeOf(node: Node, tensor: string): Shape | undefined {
  return (node.inputs.get(tensor) ?? node.outputs.get(tensor))?.shape;
}

/** Size of the images whose convolution gave images of the shape `dy`. */
function imagesBefore([batch = 0, height = 0, width = 0]: Shape, { attributes }: Node): Shape {
  const stride = Number(attributes.stride);
  return [batch, height * stride, width * stride];
}

function rowsOf(shape: Shape): number {
  return elementCount(shape) / (shape.at(-1) ?? 1);
}

/** Rows of the activations of a linear map. */
function largestRows(node: Node): number {
  return rowsOf(shapeOf(node, 'x') ?? shapeOf(node, 'dy') ?? [0]);
}

function largestShape({ inputs, outputs }: Node): Shape {
  return [...outputs.values(), ...inputs.values()]
    .map(({ shape }) => shape)
    .reduce((a, b) => (elementCount(b) > elementCount(a) ? b : a), []);
}
