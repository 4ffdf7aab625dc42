import type { Diffusion } from '../diffusion/gaussian.ts';
import { elementCount, Graph, shapeText, sliceChannels, type Value } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';
import { multiplySamples } from '../graph/ops/multiply-samples.ts';
import { randomNormal } from '../graph/ops/random.ts';
import { compile, estimateMemory, type MemoryEstimate } from '../graph/program.ts';
import type { Model } from '../models/model.ts';
import { parameterValues, weightsOn } from '../models/weights.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose, splitSeed } from '../random/philox.ts';
import { type EvaluationBatch, padded } from './evaluation-data.ts';

/** The network that is evaluated. */
export interface EvaluatedNetwork {
  readonly model: Model;
  readonly diffusion: Diffusion;
  readonly device: Device;
  /** Use the average of the weights where the model has one; default true. */
  readonly ema?: boolean;
}

/** How far an evaluation of a network has come. */
export interface NetworkProgress {
  /** Network runs done. */
  readonly done: number;
  readonly total: number;
}

/** What the network says, as values of a graph. */
export interface Prediction {
  /** What `diffusion.predict` names, float32 [N, ...shape]. */
  readonly prediction: Value;
  /** Its variance, -1 … 1 between the two fixed ones, of the same shape; undefined where the model does not say. */
  readonly variance: Value | undefined;
}

/** The buffer of the weights that are evaluated. */
export function weightsOf({ model, device, ema = true }: EvaluatedNetwork): DeviceBuffer {
  const weights = weightsOn(model, device);
  return (ema ? weights.ema : undefined) ?? weights.parameters;
}

/**
 * Puts the network into a graph, over the buffer `parameters` and, for models with classes, an input `labels` int32 [N]. A model that
 * predicts its variance too has twice the channels.
 *
 * @param x what the network sees, float32 [N, ...shape]: x_t times `diffusion.inputScale`.
 * @param told what it is told of the noise level, float32 [N].
 */
export function emitNetwork({ model, device }: EvaluatedNetwork, x: Value, told: Value): Prediction {
  const { graph } = x;
  const samples = x.shape[0] ?? 0;
  const channels = x.shape.at(-1) ?? 0;
  const parameters = parameterValues(graph, weightsOn(model, device).table);
  const labels = model.classes === null ? undefined : graph.input('labels', [samples], 'i32');
  const output = model.forward({ x, t: told, labels, parameter: (name) => parameters.get(name) as Value });
  const shape = shapeText(output.shape);
  if (shape === shapeText(x.shape)) return { prediction: output, variance: undefined };
  if (shape !== shapeText([...x.shape.slice(0, -1), 2 * channels])) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `the model makes ${shape} of ${shapeText(x.shape)}; expected the same, or twice the channels with its variance`,
    );
  }
  return {
    prediction: sliceChannels(output, 0, channels),
    variance: sliceChannels(output, channels, channels),
  };
}

/** One run of {@link NoisyNetwork}. */
export interface NoisyRequest {
  readonly batch: EvaluationBatch;
  /** Timestep of each sample. */
  readonly timesteps: ArrayLike<number>;
  /** Number of the noise: another one draws other noise for the same samples. */
  readonly step: number;
  /** Position of the first sample in the order of the evaluation: a sample's noise does not depend on its batch. */
  readonly first: number;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

/** What the network made of noisy samples, each float32 [N, ...shape]. */
export interface NoisyResult {
  readonly xt: Float32Array;
  readonly prediction: Float32Array;
  readonly variance: Float32Array | undefined;
}

/** Noises samples to a timestep of each one's own and asks the network. */
export interface NoisyNetwork {
  /** Whether the network predicts its variance. */
  readonly hasVariance: boolean;
  run(request: NoisyRequest): Promise<NoisyResult>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/**
 * Compiles {@link NoisyNetwork} for batches of up to `batchSize` samples.
 *
 * @throws `ERR_ARGUMENT` for a model without weights, `ERR_OUT_OF_MEMORY`.
 */
export function compileNoisyNetwork(network: EvaluatedNetwork, batchSize: number): NoisyNetwork {
  const { model, diffusion, device } = network;
  const { graph, outputs } = noisyGraph(network, batchSize);
  const buffers = { parameters: weightsOf(network) };
  const memoryAt = (size: number): MemoryEstimate => {
    const smaller = noisyGraph(network, size);
    return estimateMemory(smaller.graph, { device, buffers, outputs: smaller.outputs });
  };
  const program = compile(graph, { device, buffers, outputs, batch: { size: batchSize, memoryAt } });
  return {
    hasVariance: 'variance' in outputs,
    async run({ batch, timesteps, step, first, seed, signal }) {
      // Samples that only fill up the batch are noised like the first one.
      const perSample = (value: (t: number) => number): Float32Array =>
        Float32Array.from({ length: batchSize }, (_, n) => value(timesteps[n] ?? (timesteps[0] as number)));
      const [seedLow, seedHigh] = splitSeed(seed);
      const result = await program.run({
        inputs: {
          x0: padded(batch.x0, batchSize * elementCount(model.shape)),
          signal: perSample((t) => Math.sqrt(diffusion.alphaBarAt(t))),
          noise: perSample((t) => Math.sqrt(1 - diffusion.alphaBarAt(t))),
          inputScale: perSample((t) => diffusion.inputScale(t)),
          told: perSample((t) => diffusion.told(t)),
          ...(batch.labels && { labels: padded(batch.labels, batchSize) }),
        },
        scalars: { seedLow, seedHigh, step, sampleOffset: first },
        signal,
      });
      const { xt, prediction, variance } = result as Record<string, Float32Array>;
      return { xt: xt as Float32Array, prediction: prediction as Float32Array, variance };
    },
    dispose: () => program.dispose(),
    [Symbol.dispose]: () => program.dispose(),
  };
}

/** x_t = signal[n] x_0 + noise[n] eps, and what the network makes of it. */
function noisyGraph(network: EvaluatedNetwork, batchSize: number): { graph: Graph; outputs: Record<string, Value> } {
  const graph = new Graph();
  const shape = [batchSize, ...network.model.shape];
  const perSample = (name: string): Value => graph.input(name, [batchSize]);
  const stream = {
    seedLow: graph.scalar('seedLow'),
    seedHigh: graph.scalar('seedHigh'),
    step: graph.scalar('step'),
    sampleOffset: graph.scalar('sampleOffset'),
    purpose: Purpose.evaluationNoise,
  };
  const eps = randomNormal(graph, shape, stream);
  const x0 = graph.input('x0', shape);
  const xt = add(multiplySamples(x0, perSample('signal')), multiplySamples(eps, perSample('noise')));
  const seen = multiplySamples(xt, perSample('inputScale'));
  const { prediction, variance } = emitNetwork(network, seen, perSample('told'));
  return { graph, outputs: { xt, prediction, ...(variance && { variance }) } };
}
