import {
  adamwEma,
  add,
  addChannels,
  attention,
  conv2d,
  type Graph,
  gradient,
  gradientNorm,
  groupNorm,
  type KernelName,
  matmul,
  type Shape,
  scale,
  type Value,
} from '@diffuse/core';
import type { OpShape } from '../peers/peer.ts';

/** A graph of an op whose tensors all lie in device buffers, so that nothing is copied in or out. */
export interface OpGraph {
  readonly graph: Graph;
  readonly results: readonly Value[];
  /** The kernels whose time counts, where the rest of the graph only makes what they read; undefined where all of it counts. */
  readonly kernels?: readonly KernelName[];
}

/** Makes a tensor in a device buffer of its own. */
export type Tensor = (name: string, shape: Shape) => Value;

/** What the tensors of an op are made by. */
interface Tensors {
  /** Weights and other vectors. */
  readonly tensor: Tensor;
  /** Images: what a network would have computed. */
  readonly image: Tensor;
}

/** The kernels that {@link buildOp} adds for images in bf16; none of the ops needs them itself. */
const ends: readonly KernelName[] = ['scale', 'cast'];

/** Whether a kernel is only there to make an op's images, or to read its results. */
export function isAtEnds(kernel: string): boolean {
  return (ends as readonly string[]).includes(kernel);
}

/**
 * Builds an op, or a block of them.
 *
 * @param images `bf16` puts a call before each image and after each result, because what lies in device buffers stays float32: the op
 * itself has all its images in bf16, as inside a network.
 */
export function buildOp(graph: Graph, tensor: Tensor, shape: OpShape, images: 'f32' | 'bf16' = 'f32'): OpGraph {
  if (images === 'f32') return buildParts(graph, { tensor, image: tensor }, shape);
  const image: Tensor = (name, size) => scale(tensor(name, size), passing);
  const built = buildParts(graph, { tensor, image }, shape);
  return { ...built, results: built.results.map((value) => (isImage(value) ? scale(value, passing) : value)) };
}

/** A factor of 1 would be no call. */
const passing = 0.5;

/** Weights have four dimensions, too, but are in no chain from image to image: their gradients are results of their own. */
function isImage({ source, shape }: Value): boolean {
  return source.kind === 'kernel' && shape.length >= 3 && !/weight_gradient$/.test(source.node.kernel);
}

function buildParts(graph: Graph, tensors: Tensors, shape: OpShape): OpGraph {
  const { tensor } = tensors;
  switch (shape.op) {
    case 'matmul': {
      const size = [shape.size, shape.size];
      return { graph, results: [matmul(tensor('a', size), tensor('b', size))], kernels: ['matmul'] };
    }
    case 'conv2d':
      return buildConvolution(graph, tensors, shape);
    case 'group-norm-silu':
      return buildGroupNorm(graph, tensors, shape);
    case 'attention':
      return buildAttention(graph, tensors, shape);
    case 'resnet-block':
      return buildResnetBlock(graph, tensors, shape);
    case 'update':
      return buildUpdate(graph, tensor, shape.parameters);
  }
}

function buildConvolution(graph: Graph, { tensor, image }: Tensors, shape: OpShape & { op: 'conv2d' }): OpGraph {
  const { part, batch, channels, height, width, outputs } = shape;
  const x = image('x', [batch, height, width, channels]);
  const weight = tensor('weight', [3, 3, channels, outputs]);
  const bias = tensor('bias', [outputs]);
  const y = conv2d(x, weight, bias, { padding: 1 });
  if (part === 'forward') return { graph, results: [y], kernels: ['conv2d_forward'] };
  const wrt = part === 'data gradient' ? [x] : [weight, bias];
  const found = gradient([{ value: y, gradient: image('dy', y.shape) }], wrt);
  const results = wrt.map((value) => found.get(value) as Value);
  return { graph, results, kernels: [part === 'data gradient' ? 'conv2d_data_gradient' : 'conv2d_weight_gradient'] };
}

function buildGroupNorm(graph: Graph, { tensor, image }: Tensors, shape: OpShape & { op: 'group-norm-silu' }): OpGraph {
  const { part, batch, channels, height, width, groups } = shape;
  const x = image('x', [batch, height, width, channels]);
  const gamma = tensor('gamma', [channels]);
  const beta = tensor('beta', [channels]);
  const y = groupNorm(x, gamma, beta, { groups, silu: true });
  if (part === 'forward') {
    return { graph, results: [y], kernels: ['channel_moments', 'group_norm_statistics', 'normalise_forward'] };
  }
  const wrt = [x, gamma, beta];
  const found = gradient([{ value: y, gradient: image('dy', y.shape) }], wrt);
  return {
    graph,
    results: wrt.map((value) => found.get(value) as Value),
    kernels: ['normalise_backward', 'group_norm_gradient', 'normalise_gradient'],
  };
}

function buildAttention(graph: Graph, { image }: Tensors, shape: OpShape & { op: 'attention' }): OpGraph {
  const { part, batch, heads, tokens, channels } = shape;
  const wrt = ['q', 'k', 'v'].map((name) => image(name, [batch, tokens, channels]));
  const [q, k, v] = wrt as [Value, Value, Value];
  const y = attention(q, k, v, { heads });
  if (part === 'forward') return { graph, results: [y], kernels: ['attention_forward'] };
  const found = gradient([{ value: y, gradient: image('dy', y.shape) }], wrt);
  const results = wrt.map((value) => found.get(value) as Value);
  return { graph, results, kernels: ['attention_forward', 'attention_backward'] };
}

/** `x + layer2(layer1(x) + time)`, a layer being GroupNorm, SiLU and a 3x3 convolution, with the gradients of all that it reads. */
function buildResnetBlock(graph: Graph, { tensor, image }: Tensors, shape: OpShape & { op: 'resnet-block' }): OpGraph {
  const { batch, channels, height, width, groups } = shape;
  const x = image('x', [batch, height, width, channels]);
  const time = tensor('time', [batch, channels]);
  const wrt = [x, time];
  const layer = (name: string, input: Value): Value => {
    const gamma = tensor(`${name} gamma`, [channels]);
    const beta = tensor(`${name} beta`, [channels]);
    const weight = tensor(`${name} weight`, [3, 3, channels, channels]);
    const bias = tensor(`${name} bias`, [channels]);
    wrt.push(gamma, beta, weight, bias);
    return conv2d(groupNorm(input, gamma, beta, { groups, silu: true }), weight, bias, { padding: 1 });
  };
  const y = add(x, layer('second', addChannels(layer('first', x), time)));
  const found = gradient([{ value: y, gradient: image('dy', y.shape) }], wrt);
  return { graph, results: [y, ...wrt.map((value) => found.get(value) as Value)] };
}

function buildUpdate(graph: Graph, tensor: Tensor, parameters: number): OpGraph {
  const flat = (name: string): Value => tensor(name, [parameters]);
  const slope = flat('gradient');
  adamwEma(
    {
      parameter: flat('parameter'),
      firstMoment: flat('first moment'),
      secondMoment: flat('second moment'),
      ema: flat('ema'),
      gradient: slope,
      norm: gradientNorm(slope),
    },
    {
      ...{ learningRate: 2e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 },
      ...{ biasCorrection1: 0.1, biasCorrection2: 0.001, clipNorm: 1, emaDecay: 0.9999, gradientScale: 1 },
    },
  );
  return { graph, results: [] };
}
