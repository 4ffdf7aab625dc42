import { Graph, type Value } from '../graph/graph.ts';
import { fill } from '../graph/ops/elementwise.ts';
import { compile, type Program } from '../graph/program.ts';
import { parameterValues, weightsOn } from '../models/weights.ts';
import type { Device } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { type PhiloxKey, Purpose, philox, splitSeed } from '../random/philox.ts';
import type { DiscreteDiffusion } from './discrete-diffusion.ts';
import type { TokenModel } from './token-unet.ts';

/** Options of {@link sampleTokens}. */
export interface SampleTokensOptions {
  readonly model: TokenModel;
  readonly diffusion: DiscreteDiffusion;
  readonly device: Device;
  /** Number of samples. */
  readonly count: number;
  /** Determines the samples: sample i of a seed is the same in every batch, of whatever size. */
  readonly seed?: number;
  /** Samples computed at once; default all, at most 64. */
  readonly batchSize?: number;
  /** Use the average of the weights where the model has one. */
  readonly ema?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Draws sequences of tokens: all lost at first, then T reverse steps, each token drawn from `DiscreteDiffusion.reverse` of what the
 * network says. Austin et al. 2021, arXiv:2107.03006, section 3.
 *
 * @returns int32 [count, L], each in [0, tokens).
 * @throws `ERR_ARGUMENT`, `ERR_OUT_OF_MEMORY`, `ERR_CANCELLED`.
 */
export async function sampleTokens(options: SampleTokensOptions): Promise<Int32Array> {
  const { model, diffusion, count, seed = 0, signal } = options;
  const batchSize = Math.min(count, options.batchSize ?? 64);
  for (const [name, value] of Object.entries({ count, batchSize })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new DiffuseError('ERR_ARGUMENT', `${name} is ${value}; it must be a positive integer`);
    }
  }
  const key = splitSeed(seed);
  const [length = 1] = model.shape;
  const samples = new Int32Array(count * length);
  using program = compileNetwork(options, batchSize);
  for (let offset = 0; offset < count; offset += batchSize) {
    let states = startOf(diffusion, key, { offset, batchSize, length });
    for (let t = diffusion.steps - 1; t >= 0; t--) {
      const x = oneHot(states, diffusion.states);
      const { logits } = await program.run({ inputs: { x }, scalars: { t }, signal });
      states = reverseStep(diffusion, states, logits, { t, key, offset, length });
    }
    samples.set(states.subarray(0, Math.min(batchSize, count - offset) * length), offset * length);
  }
  return samples;
}

function compileNetwork(
  { model, device, diffusion, ema = true }: SampleTokensOptions,
  batchSize: number,
): Program<'logits'> {
  const weights = weightsOn(model, device);
  const graph = new Graph();
  const values = parameterValues(graph, weights.table);
  const x = graph.input('x', [batchSize, ...model.shape, diffusion.states]);
  const t = fill(graph, [batchSize], graph.scalar('t'));
  const logits = model.forward({ x, t, parameter: (name) => values.get(name) as Value });
  const parameters = (ema ? weights.ema : undefined) ?? weights.parameters;
  return compile(graph, { device, buffers: { parameters }, outputs: { logits } });
}

interface Batch {
  /** Index of the first sample. */
  readonly offset: number;
  /** Tokens of a sample. */
  readonly length: number;
}

/** Tokens that are all lost. */
function startOf(
  { mask, tokens }: DiscreteDiffusion,
  key: PhiloxKey,
  { offset, batchSize, length }: Batch & { readonly batchSize: number },
): Int32Array {
  return Int32Array.from({ length: batchSize * length }, (_, i) => {
    if (mask !== null) return mask;
    return Math.floor(tokens * uniform(key, offset + Math.floor(i / length), i % length, 0, Purpose.sampleStart));
  });
}

/** x_{t-1} of each token of a batch, drawn by inversion. */
function reverseStep(
  diffusion: DiscreteDiffusion,
  states: Int32Array,
  logits: Float32Array,
  { t, key, offset, length }: Batch & { readonly t: number; readonly key: PhiloxKey },
): Int32Array {
  const { tokens, steps } = diffusion;
  return states.map((state, i) => {
    const law = diffusion.reverse(state, softmax(logits.subarray(i * tokens, (i + 1) * tokens)), t);
    const u = uniform(key, offset + Math.floor(i / length), i % length, steps - 1 - t, Purpose.sampleStep);
    let below = 0;
    const drawn = law.findIndex((probability) => {
      below += probability;
      return u < below;
    });
    // Rounding may leave the sum a little below 1.
    return drawn >= 0 ? drawn : law.findLastIndex((probability) => probability > 0);
  });
}

/** The number in [0, 1) of an element of a sample; see `native/ops/random.h`. */
function uniform(key: PhiloxKey, sample: number, element: number, step: number, purpose: number): number {
  const words = philox(key, [element >>> 2, sample, step, purpose]);
  return (words[element % 4] as number) / 2 ** 32;
}

function softmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(logits, (value) => Math.exp(value - largest));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

function oneHot(states: Int32Array, count: number): Float32Array {
  const x = new Float32Array(states.length * count);
  for (const [i, state] of states.entries()) x[i * count + state] = 1;
  return x;
}
