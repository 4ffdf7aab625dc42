import { type Diffusion, gaussianDiffusion, type Target, targets } from '../../src/diffusion/index.ts';
import { concatChannels, type Graph, sliceChannels, type Value } from '../../src/graph/graph.ts';
import { divideSamples } from '../../src/graph/ops/divide-samples.ts';
import { add, fill, scale } from '../../src/graph/ops/elementwise.ts';
import { linear } from '../../src/graph/ops/linear.ts';
import { multiplySamples } from '../../src/graph/ops/multiply-samples.ts';
import { sumSamples } from '../../src/graph/ops/reductions.ts';
import { timeEmbedding } from '../../src/graph/ops/time-embedding.ts';
import type { Model } from '../../src/models/model.ts';
import { parameterTable } from '../../src/models/weights.ts';
import type { Device } from '../../src/native/device.ts';
import type { Schedule } from '../../src/schedules/index.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { normals } from '../random/normal.ts';

/** Gaussian data with mean 0 in as many channels as there are variances, channels being rotated against each other. */
export interface RotatedGaussian {
  /** Variance along each axis. */
  readonly variances: readonly number[];
  /** Row-major [C, C]; column c is axis c. The identity leaves the channels independent. */
  readonly axes: readonly number[];
}

/** The identity: independent channels. */
export function identityAxes(channels: number): number[] {
  return Array.from({ length: channels * channels }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0));
}

/** A reflection that mixes all channels: 1 - 2 u u' with u = (1, 2, 3, …) / |…|. */
export function mixingAxes(channels: number): number[] {
  const u = Array.from({ length: channels }, (_, i) => i + 1);
  const square = u.reduce((sum, value) => sum + value * value, 0);
  return identityAxes(channels).map(
    (value, i) => value - (2 * (u[Math.floor(i / channels)] as number) * (u[i % channels] as number)) / square,
  );
}

/**
 * A diffusion whose network predicts v and is told the angle 2 theta, with cos(theta) = sqrt(alphaBar): then the exact denoiser is a
 * quotient of its sine and cosine.
 */
export function angleDiffusion(schedule: Schedule): Diffusion {
  const predict: Target = {
    ...targets.v,
    name: 'v of the angle',
    told: (alphaBar) => 2 * Math.acos(Math.sqrt(alphaBar)),
  };
  return gaussianDiffusion({ schedule, predict });
}

/**
 * What a perfectly trained network is for such data, as a model: along an axis of variance s^2 the expectation of v given x_t is
 *
 *     (1 - s^2) sin(theta) cos(theta) / (s^2 cos(theta)^2 + sin(theta)^2) x_t
 */
export async function gaussianModel(
  device: Device,
  { variances, axes }: RotatedGaussian,
  shape: readonly number[],
): Promise<Model> {
  const channels = variances.length;
  const square = { shape: [channels, channels], layout: 'plain' as const };
  const parameters = [
    { name: 'toAxes', ...square },
    { name: 'fromAxes', ...square },
  ];
  const table = parameterTable(parameters);
  const buffer = device.allocate(4 * table.size);
  const transposed = axes.map((_, i) => axes[(i % channels) * channels + Math.floor(i / channels)] as number);
  await buffer.write(table.slot('toAxes').offset, Float32Array.from(axes));
  await buffer.write(table.slot('fromAxes').offset, Float32Array.from(transposed));
  return {
    shape: [...shape],
    classes: null,
    nullClass: null,
    frozen: new Set(),
    parameters,
    weights: { device, table, parameters: buffer, ema: undefined },
    forward({ x, t, parameter }) {
      const angles = timeEmbedding(t, { dimension: 2 });
      const sine = sumSamples(sliceChannels(angles, 0, 1));
      const cosine = sumSamples(sliceChannels(angles, 1, 1));
      const alongAxes = linear(x, parameter('toAxes'));
      const gains = variances.map((variance, c) => {
        const rest = 1 - variance;
        // s^2 cos^2 + sin^2 = 1 - (1 - s^2) (1 + cos 2 theta) / 2
        const divisor = add(constant(x.graph, t, 1 - rest / 2), cosine, { beta: -rest / 2 });
        return divideSamples(multiplySamples(sliceChannels(alongAxes, c, 1), scale(sine, rest / 2)), divisor);
      });
      return linear(concatChannels(gains), parameter('fromAxes'));
    },
  };
}

function constant(graph: Graph, like: Value, value: number): Value {
  return fill(graph, like.shape, value);
}

/** A data set of float32 samples. */
export function floatDataset(values: Float32Array, shape: readonly number[]): Dataset {
  return { ...arrayDataset(values, shape), dtype: 'f32' };
}

/** A data set of bytes. */
export function byteDataset(bytes: Uint8Array, shape: readonly number[]): Dataset {
  return arrayDataset(bytes, shape);
}

function arrayDataset(values: Float32Array | Uint8Array, shape: readonly number[]): Dataset {
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    shape,
    count: values.length / size,
    fingerprint: `${values.length} numbers`,
    async read(indices, target) {
      indices.forEach((index, i) => {
        target.set(values.subarray(index * size, (index + 1) * size), i * size);
      });
    },
  };
}

/** Samples of Gaussian data, float32 [count, ..., C] with `pixels` vectors of C channels a sample. */
export function gaussianSamples(
  { variances, axes }: RotatedGaussian,
  { count, pixels, seed }: { count: number; pixels: number; seed: number },
): Float32Array {
  const channels = variances.length;
  const noise = normals(seed, count * pixels * channels);
  return Float32Array.from(noise, (_, i) => {
    const first = i - (i % channels);
    // Row i % C of (axes diag(deviation)) times the noise of the pixel.
    return variances.reduce(
      (sum, variance, c) =>
        sum + (axes[(i % channels) * channels + c] as number) * Math.sqrt(variance) * (noise[first + c] as number),
      0,
    );
  });
}

/** -log density of one sample [pixels, C] in nats. */
export function gaussianNats({ variances, axes }: RotatedGaussian, sample: Float32Array): number {
  const channels = variances.length;
  let nats = 0;
  for (let first = 0; first < sample.length; first += channels) {
    for (const [c, variance] of variances.entries()) {
      const along = variances.reduce(
        (sum, _, k) => sum + (axes[k * channels + c] as number) * (sample[first + k] as number),
        0,
      );
      nats += 0.5 * (Math.log(2 * Math.PI * variance) + (along * along) / variance);
    }
  }
  return nats;
}
