import {
  adamwEma,
  attention,
  type CallTime,
  compile,
  conv2d,
  type Device,
  type DeviceBuffer,
  elementCount,
  Graph,
  gradient,
  groupNorm,
  type KernelName,
  matmul,
  openDevice,
  type Placement,
  type Shape,
  type Value,
} from '@diffuse/core';
import type { Subject } from '../alternate.ts';
import type { OpShape } from '../peers/peer.ts';

/** One op made ready to be timed. */
export interface OpSession extends Subject {
  readonly peakBytes: number;
  /** Sets how many runs the next measurements are the mean of. */
  repeat(times: number): void;
  dispose(): void;
}

/** A graph of an op whose tensors all lie in device buffers, so that nothing is copied in or out. */
interface OpGraph {
  readonly graph: Graph;
  readonly results: readonly Value[];
  /** The kernels whose time counts; the rest of the graph only makes what they read. */
  readonly kernels: readonly KernelName[];
}

/** Makes a tensor in a device buffer of its own. */
type Tensor = (name: string, shape: Shape) => Value;

/** The time of a run is that of its kernels: what the op adds to a program of many. */
export async function opSession(shape: OpShape, threads: number): Promise<OpSession> {
  const device = await openDevice('cpu', { threads });
  try {
    const graph = new Graph();
    const buffers: Record<string, DeviceBuffer> = {};
    const tensor: Tensor = (name, size) => {
      buffers[name] = device.allocate(4 * elementCount(size));
      return graph.external(name, size, name, 0);
    };
    const { results, kernels } = build(graph, tensor, shape);
    for (const buffer of Object.values(buffers)) await fillWithNoise(buffer);
    const program = compile(graph, { device, buffers, placements: placeResults(device, buffers, results) });
    const timed = new Set<string>(kernels);
    const sum = (calls: readonly CallTime[]): number =>
      calls.reduce((ms, { kernel, timeMs }) => ms + (timed.has(kernel) ? timeMs : 0), 0);
    let repeats = 1;
    return {
      pid: process.pid,
      peakBytes: program.peakBytes + device.allocatedBytes,
      repeat(times) {
        repeats = times;
      },
      async run() {
        let ms = 0;
        for (let i = 0; i < repeats; i++) ms += sum(await program.profile());
        return ms / repeats;
      },
      dispose: () => device.dispose(),
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

function placeResults(
  device: Device,
  buffers: Record<string, DeviceBuffer>,
  results: readonly Value[],
): Map<Value, Placement> {
  return new Map(
    results.map((value, i) => {
      const buffer = `result ${i}`;
      buffers[buffer] = device.allocate(4 * elementCount(value.shape));
      return [value, { buffer, offset: 0 }];
    }),
  );
}

/** Numbers in [0, 1): zeros would be kinder to the multipliers, and the second moment of AdamW is not negative. */
async function fillWithNoise(buffer: DeviceBuffer): Promise<void> {
  const pattern = Float32Array.from({ length: 1 << 16 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 8) / 2 ** 24);
  const count = buffer.byteLength / 4;
  for (let offset = 0; offset < count; offset += pattern.length) {
    await buffer.write(offset, pattern.subarray(0, Math.min(pattern.length, count - offset)));
  }
}

function build(graph: Graph, tensor: Tensor, shape: OpShape): OpGraph {
  switch (shape.op) {
    case 'matmul': {
      const size = [shape.size, shape.size];
      return { graph, results: [matmul(tensor('a', size), tensor('b', size))], kernels: ['matmul'] };
    }
    case 'conv2d':
      return buildConvolution(graph, tensor, shape);
    case 'group-norm-silu':
      return buildGroupNorm(graph, tensor, shape);
    case 'attention':
      return buildAttention(graph, tensor, shape);
    case 'adamw':
      return buildAdamW(graph, tensor, shape.parameters);
  }
}

function buildConvolution(graph: Graph, tensor: Tensor, shape: OpShape & { op: 'conv2d' }): OpGraph {
  const { part, batch, channels, height, width, outputs } = shape;
  const x = tensor('x', [batch, height, width, channels]);
  const weight = tensor('weight', [3, 3, channels, outputs]);
  const bias = tensor('bias', [outputs]);
  const y = conv2d(x, weight, bias, { padding: 1 });
  if (part === 'forward') return { graph, results: [y], kernels: ['conv2d_forward'] };
  const wrt = part === 'data gradient' ? [x] : [weight, bias];
  const found = gradient([{ value: y, gradient: tensor('dy', y.shape) }], wrt);
  const results = wrt.map((value) => found.get(value) as Value);
  return { graph, results, kernels: [part === 'data gradient' ? 'conv2d_data_gradient' : 'conv2d_weight_gradient'] };
}

function buildGroupNorm(graph: Graph, tensor: Tensor, shape: OpShape & { op: 'group-norm-silu' }): OpGraph {
  const { part, batch, channels, height, width, groups } = shape;
  const x = tensor('x', [batch, height, width, channels]);
  const gamma = tensor('gamma', [channels]);
  const beta = tensor('beta', [channels]);
  const y = groupNorm(x, gamma, beta, { groups, silu: true });
  if (part === 'forward') {
    return { graph, results: [y], kernels: ['channel_moments', 'group_norm_statistics', 'normalise_forward'] };
  }
  const wrt = [x, gamma, beta];
  const found = gradient([{ value: y, gradient: tensor('dy', y.shape) }], wrt);
  return {
    graph,
    results: wrt.map((value) => found.get(value) as Value),
    kernels: ['normalise_backward', 'group_norm_gradient', 'normalise_gradient'],
  };
}

function buildAttention(graph: Graph, tensor: Tensor, shape: OpShape & { op: 'attention' }): OpGraph {
  const { part, batch, heads, tokens, channels } = shape;
  const wrt = ['q', 'k', 'v'].map((name) => tensor(name, [batch, tokens, channels]));
  const [q, k, v] = wrt as [Value, Value, Value];
  const y = attention(q, k, v, { heads });
  if (part === 'forward') return { graph, results: [y], kernels: ['attention_forward'] };
  const found = gradient([{ value: y, gradient: tensor('dy', y.shape) }], wrt);
  return { graph, results: wrt.map((value) => found.get(value) as Value), kernels: ['attention_backward'] };
}

function buildAdamW(graph: Graph, tensor: Tensor, parameters: number): OpGraph {
  const flat = (name: string): Value => tensor(name, [parameters]);
  adamwEma(
    {
      parameter: flat('parameter'),
      firstMoment: flat('first moment'),
      secondMoment: flat('second moment'),
      gradient: flat('gradient'),
      norm: tensor('norm', [1]),
    },
    {
      learningRate: 2e-4,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      biasCorrection1: 0.1,
      biasCorrection2: 0.001,
      clipNorm: 0,
      emaDecay: 0,
      gradientScale: 1,
    },
  );
  return { graph, results: [], kernels: ['adamw_ema'] };
}
