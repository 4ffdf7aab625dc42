import {
  compile,
  type Device,
  type DeviceBuffer,
  DiffuseError,
  type DType,
  elementCount,
  Graph,
  type KernelName,
  kernelSignature,
  kernelSignatures,
  type Placement,
  parameterTable,
  plan,
  type Shape,
  type Value,
} from '@diffuse/core';
import { type BenchConfig, benchModel } from '../configs.ts';
import { type BenchDevice, openBenchDevice } from '../ours/bench-device.ts';
import type { PlannedNode } from './paper.ts';

/** A tensor of a call; float32, or of an image what the precision says, where no type is given. */
type Tensor = Shape | { readonly shape: Shape; readonly dtype: DType };

/** A call of a kernel that the training step of a U-Net does not make. */
interface SingleCall {
  readonly kernel: KernelName;
  /** By the names of the signature. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly attributes?: Readonly<Record<string, number>>;
}

/** Shapes of a network's tensors. */
interface Sizes {
  /** Images of a step. */
  readonly batch: number;
  /** Images [N, H, W, 3]. */
  readonly pixels: Shape;
  /** The largest images inside the network [N, H, W, C]. */
  readonly features: Shape;
  /** What is told of time [N, D]. */
  readonly vectors: Shape;
  readonly parameters: number;
}

const seeds = { seedLow: 1, seedHigh: 2, step: 3, sampleOffset: 0 };
/** Of classes, tokens in a text and kinds of token: as in class-conditional ImageNet, and as texts of letters have them. */
const [classes, length, kinds] = [1000, 256, 128];

/** One call of each such kernel. */
function singleCalls({ batch: N, pixels, features, vectors, parameters: P }: Sizes): SingleCall[] {
  const [channels = 1, depth = 1] = [features.at(-1), vectors.at(-1)];
  const [samples, number, ofChannels] = [[N], [1], [N, channels]];
  const indices = { shape: [N], dtype: 'i32' } as const;
  const twice = [...pixels.slice(0, -1), 2 * (pixels.at(-1) ?? 0)];
  const [x, y, xt] = [features, features, pixels];
  const unary = { y, x };
  const weights = { simpleWeight: 1, boundWeight: 1e-3, boundScale: 1, throughMean: 0 };
  const bound = { output: twice, xt, target: xt, weight: samples, coefficients: [N, 6] };
  const tokens = { shape: [N, length], dtype: 'i32' } as const;
  const [texts, keep] = [[N, length, kinds], [1000]];
  const given = { logits: texts, tokens, xt: texts, timestep: samples, keep };
  const step = {
    ...{ x0FromX: 1, x0FromPrediction: -1, clip: 1, coefficientX: 1, coefficientX0: 1, coefficientPrediction: 1 },
    ...{ coefficientHistory: 1, coefficientOlder: 0, coefficientNoise: 1, historyFromX: 0, historyFromX0: 1 },
    ...{ logVarianceLow: 0, logVarianceHigh: 0, ...seeds },
  };
  const rates = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
  const scales = { biasCorrection1: 0.1, biasCorrection2: 0.001, clipNorm: 1, emaDecay: 0.999, gradientScale: 1 };
  const state = { parameter: [P], firstMoment: [P], secondMoment: [P], ema: [P] };
  return [
    {
      kernel: 'matmul',
      tensors: { c: vectors, a: vectors, b: [depth, depth] },
      attributes: { transposeA: 0, transposeB: 0 },
    },
    { kernel: 'copy', tensors: unary },
    { kernel: 'scale', tensors: unary, attributes: { factor: 2 } },
    { kernel: 'add_channels', tensors: { ...unary, t: ofChannels } },
    { kernel: 'multiply', tensors: { y, a: x, b: x } },
    { kernel: 'multiply_samples', tensors: { y: xt, x: xt, factor: samples } },
    { kernel: 'divide_samples', tensors: { y: xt, x: xt, divisor: samples } },
    { kernel: 'sum_pixels', tensors: { y: ofChannels, x } },
    { kernel: 'sum_samples', tensors: { y: samples, x: xt } },
    { kernel: 'sum', tensors: { y: number, x: xt } },
    { kernel: 'scale_shift_forward', tensors: { ...unary, scaleShift: [N, 2 * channels] } },
    {
      kernel: 'scale_shift_backward',
      tensors: { dx: x, dscaleShift: [N, 2 * channels], dy: y, x, scaleShift: [N, 2 * channels] },
    },
    {
      kernel: 'fourier_embedding_forward',
      tensors: { y: vectors, t: samples, frequencies: [depth / 2] },
      attributes: { flipSinToCos: 0 },
    },
    { kernel: 'embedding_forward', tensors: { y: vectors, table: [classes, depth], index: indices } },
    { kernel: 'embedding_backward', tensors: { dtable: [classes, depth], dy: vectors, index: indices } },
    { kernel: 'dropout', tensors: unary, attributes: { probability: 0.1, layer: 1, ...seeds } },
    {
      kernel: 'hybrid_loss_forward',
      tensors: { loss: number, perSample: samples, bound: number, ...bound },
      attributes: weights,
    },
    { kernel: 'hybrid_loss_backward', tensors: { doutput: twice, dloss: number, ...bound }, attributes: weights },
    {
      kernel: 'softmax_cross_entropy_forward',
      tensors: { loss: number, perRow: samples, correct: samples, logits: [N, classes], labels: indices },
    },
    {
      kernel: 'softmax_cross_entropy_backward',
      tensors: { dlogits: [N, classes], dloss: number, logits: [N, classes], labels: indices },
    },
    { kernel: 'gaussian_latent_forward', tensors: { z: xt, kl: number, moments: twice, noise: xt } },
    {
      kernel: 'gaussian_latent_backward',
      tensors: { dmoments: twice, dz: xt, dkl: number, moments: twice, noise: xt },
    },
    {
      kernel: 'token_noising',
      tensors: { xt: texts, timestep: samples, tokens, keep },
      attributes: { mask: -1, ...seeds },
    },
    {
      kernel: 'token_denoising_loss_forward',
      tensors: { loss: number, bound: number, crossEntropy: number, ...given },
      attributes: { crossEntropyWeight: 1 },
    },
    {
      kernel: 'token_denoising_loss_backward',
      tensors: { dlogits: texts, dloss: number, ...given },
      attributes: { crossEntropyWeight: 1 },
    },
    { kernel: 'random_normal', tensors: { y: xt }, attributes: { ...seeds, purpose: 1 } },
    { kernel: 'random_uniform', tensors: { y: xt }, attributes: { ...seeds, purpose: 1, low: 0, high: 1 } },
    {
      kernel: 'dynamic_threshold',
      tensors: { x0: xt, x: xt, prediction: xt },
      attributes: { x0FromX: 1, x0FromPrediction: -1, quantile: 0.995, max: 10 },
    },
    {
      kernel: 'self_conditioning',
      tensors: { estimate: xt, xt, prediction: xt, coefficients: [N, 2] },
      attributes: { clip: 1, ...seeds },
    },
    { kernel: 'sampler_update', tensors: { xNext: xt, x0: xt, x: xt, prediction: xt }, attributes: step },
    {
      kernel: 'sampler_update',
      tensors: { xNext: xt, x0: xt, historyNext: xt, x: xt, prediction: xt, history: xt },
      attributes: { ...step, coefficientNoise: 0 },
    },
    { kernel: 'adamw_ema', tensors: { ...state, gradient: [P], norm: number }, attributes: { ...rates, ...scales } },
  ];
}

/** Where the tensors of a call come from, and where what it writes goes. */
class CallGraph {
  readonly graph = new Graph();
  readonly buffers: Record<string, DeviceBuffer> = {};
  readonly placements = new Map<Value, Placement>();
  readonly #device: Device;

  constructor(device: Device, { kernel, tensors, attributes = {} }: SingleCall) {
    this.#device = device;
    const inputs: Record<string, Value> = {};
    const outputs: Record<string, Shape | Value> = {};
    const images = new Set<string>();
    for (const { name, output, dtype: kind } of kernelSignature(kernel).tensors) {
      const tensor = tensors[name];
      if (tensor === undefined) continue;
      const [shape, dtype] = 'shape' in tensor ? [tensor.shape, tensor.dtype] : [tensor, 'f32' as const];
      if (kind === 'image') images.add(name);
      // The optimizer changes its tensors in place.
      if (output) outputs[name] = kernel === 'adamw_ema' ? this.#external(name, shape, dtype) : shape;
      else inputs[name] = kind === 'image' ? this.#computed(name, shape) : this.#external(name, shape, dtype);
    }
    const written = this.graph.scope('single', () => this.graph.emit({ kernel, outputs, inputs, attributes }));
    for (const [name, value] of Object.entries(written)) {
      if (value.source.kind === 'kernel') this.#keep(`${name} kept`, images.has(name) ? this.#scaled(value) : value);
    }
  }

  #external(name: string, shape: Shape, dtype: DType = 'f32'): Value {
    this.buffers[name] = this.#device.allocate(4 * elementCount(shape));
    return this.graph.external(name, shape, name, 0, dtype);
  }

  /** An image that a network has computed of another, as the precision stores them. */
  #computed(name: string, shape: Shape): Value {
    return this.#scaled(this.#scaled(this.#external(name, shape)));
  }

  #scaled(x: Value): Value {
    const { y } = this.graph.emit({
      kernel: 'scale',
      outputs: { y: x.shape },
      inputs: { x },
      attributes: { factor: 1 },
    });
    return y;
  }

  #keep(buffer: string, value: Value): void {
    this.buffers[buffer] = this.#device.allocate(4 * elementCount(value.shape));
    this.placements.set(value, { buffer, offset: 0 });
  }
}

function sizesOf(config: BenchConfig): Sizes {
  const model = benchModel(config);
  const [height = 1, width = 1] = model.shape;
  const { blockOutChannels } = model.config;
  const [channels = 1] = blockOutChannels;
  return {
    ...{ batch: config.batch, pixels: [config.batch, ...model.shape] },
    ...{ features: [config.batch, height, width, channels], vectors: [config.batch, 4 * channels] },
    parameters: parameterTable(model.parameters).size,
  };
}

/**
 * Makes one call of every kernel that is not among `made`, and of those that have more to do than in a step, at the shapes of a network.
 *
 * @param look is told of each call as soon as it was made: the `index`th of its program's `calls`, the others make its images.
 * @throws `ERR_ARGUMENT` for a kernel that nothing here calls.
 */
export async function makeSingleCalls(
  config: BenchConfig,
  options: BenchDevice,
  made: ReadonlySet<string>,
  look: (node: PlannedNode, index: number, calls: number) => Promise<void>,
): Promise<void> {
  const calls = singleCalls(sizesOf(config));
  const known = new Set<string>([...made, ...calls.map(({ kernel }) => kernel)]);
  // Nothing is cast where all images are float32.
  if (options.precision === 'fp32') known.add('cast');
  const forgotten = Object.keys(kernelSignatures).filter((kernel) => !known.has(kernel));
  if (forgotten.length > 0)
    throw new DiffuseError('ERR_ARGUMENT', `${config.name}: nothing calls ${forgotten.join(', ')}`);
  using device = await openBenchDevice(options);
  const images = device.precision === 'fp32' ? 'f32' : 'bf16';
  for (const call of calls) {
    const { graph, buffers, placements } = new CallGraph(device, call);
    using program = compile(graph, { device, buffers, placements, fused: false });
    const { nodes, storageOf } = plan(graph, [], placements, { images, fused: false });
    const times = await program.profile();
    const index = nodes.findIndex(({ name, kernel }) => kernel === call.kernel && name.startsWith('single.'));
    const [node, time] = [nodes[index], times[index]];
    if (!node || time?.kernel !== call.kernel)
      throw new DiffuseError('ERR_ARGUMENT', `the plan has no call of ${call.kernel}`);
    await look({ ...time, node, storageOf }, index, times.length);
    for (const buffer of Object.values(buffers)) buffer.dispose();
  }
}
