import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRun, saveRun } from '../../src/checkpoint/run.ts';
import { type Diffusion, gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { bitsPerDimension } from '../../src/evaluation/likelihood.ts';
import { gradient } from '../../src/graph/gradient.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { Model } from '../../src/models/model.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { type DdpmVariance, ddpm } from '../../src/samplers/ddpm.ts';
import { sample } from '../../src/samplers/sample.ts';
import { cosineSchedule, linearSchedule } from '../../src/schedules/index.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { type DiffusionObjectiveOptions, diffusionObjective } from '../../src/training/objectives/denoising.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { type TrainOptions, type TrainProgress, train } from '../../src/training/train.ts';
import { byteDataset, floatDataset } from '../evaluation/gaussian-model.ts';
import { normals } from '../random/normal.ts';
import { bands } from './tiny.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

/** A network that says what it is given as an input of the graph, whatever it sees. */
function echo(said: (graph: Graph) => Value, shape: readonly number[]): Model {
  return {
    shape,
    classes: null,
    nullClass: null,
    parameters: [],
    frozen: new Set(),
    weights: undefined,
    forward: ({ x }) => said(x.graph),
  };
}

const N = 40;
const diffusion = gaussianDiffusion({ schedule: linearSchedule({ steps: 30 }), predict: 'v' });

/** Gradient of the loss by what the network says, [N, 2, 2, C], for one batch of noise. */
async function slope(options: DiffusionObjectiveOptions, channels: number): Promise<Float32Array> {
  const graph = new Graph();
  const said = graph.input('said', [N, 2, 2, channels]);
  const objective = diffusionObjective(diffusion, options);
  const tables = objective.tables ?? {};
  const { loss } = objective.build({
    graph,
    model: echo(() => said, [2, 2, 1]),
    batchSize: N,
    inputs: { data: graph.input('data', [N, 2, 2, 1], 'u8') },
    randomness: { seedLow: 3, seedHigh: 0, step: 5, sampleOffset: 0 },
    parameter: () => said,
    table: (name, shape) => graph.input(name, shape),
  });
  const dsaid = gradient([{ value: loss, gradient: fill(graph, [1], 1) }], [said]).get(said) as Value;
  using program = compile(graph, { device, outputs: { dsaid } });
  const inputs = {
    said: Float32Array.from({ length: N * 4 * channels }, (_, i) =>
      Math.sin(Math.floor(i / channels) + 2 * (i % channels)),
    ),
    data: Uint8Array.from({ length: N * 4 }, (_, i) => (i * 67) % 256),
    bytes: tables.bytes as Float32Array,
  };
  return (await program.run({ inputs })).dsaid;
}

describe('the loss of a learned variance', () => {
  const even = (values: Float32Array): number[] => [...values].filter((_, i) => i % 2 === 0);
  const odd = (values: Float32Array): number[] => [...values].filter((_, i) => i % 2 === 1);

  test('hybrid leaves the gradient of the mean as it is, and teaches the variance', async () => {
    const simple = await slope({}, 1);
    const hybrid = await slope({ loss: 'hybrid', boundWeight: 0.5 }, 2);
    const largest = Math.max(...simple.map(Math.abs));
    even(hybrid).forEach((value, i) => {
      expect(Math.abs(value - (simple[i] as number))).toBeLessThanOrEqual(1e-7 * largest);
    });
    expect(odd(hybrid).every((value) => value !== 0)).toBe(true);
  });

  test('vlb teaches both; the share of the bound scales what the variance learns', async () => {
    const vlb = await slope({ loss: 'vlb' }, 2);
    const hybrid = await slope({ loss: 'hybrid', boundWeight: 0.25 }, 2);
    const simple = await slope({}, 1);
    odd(vlb).forEach((value, i) => {
      expect(Math.abs(value / 4 / (odd(hybrid)[i] as number) - 1)).toBeLessThan(1e-6);
    });
    expect(even(vlb).some((value, i) => Math.abs(value / (simple[i] as number) - 1) > 0.5)).toBe(true);
  });
});

async function finishTraining(options: Partial<TrainOptions> & { model: Model; diffusion: Diffusion }) {
  const reports: TrainProgress[] = [];
  const training = train({
    data: bands(),
    device,
    steps: 400,
    batchSize: 16,
    ema: 0,
    seed: 3,
    optimizer: adamW({ learningRate: 3e-3 }),
    ...options,
  });
  for await (const report of training) reports.push(report);
  return reports;
}

function meanOf(values: readonly number[]): { mean: number; error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / (values.length - 1) / values.length) };
}

/** Points on two half circles, a little off them. */
function moons(count: number): Dataset {
  const noise = normals(9, 2 * count);
  const values = Float32Array.from({ length: 2 * count }, (_, i) => {
    const angle = (Math.PI * (i >> 1)) / count;
    const upper = (i >> 1) % 2 === 0;
    const place = i % 2 === 0 ? Math.cos(angle) + (upper ? -0.5 : 0.5) : Math.sin(angle) - 0.25;
    return 0.6 * (upper ? place : -place) + 0.05 * (noise[i] as number);
  });
  return floatDataset(values, [2]);
}

describe('training', () => {
  const cosine = gaussianDiffusion({ schedule: cosineSchedule({ steps: 40 }), predict: 'eps' });

  test.each(['hybrid', 'vlb'] as const)(
    'by %s a bound below those of both fixed variances is learned',
    async (loss) => {
      const data = moons(2000);
      const process = gaussianDiffusion({ schedule: cosineSchedule({ steps: 20 }), predict: 'eps' });
      const model = mlp({ shape: [2], width: 32, layers: 2, learnedVariance: true });
      await finishTraining({ model, diffusion: process, loss, data, steps: 1000, batchSize: 64 });
      const bits = async (variance: 'fixed-small' | 'fixed-large' | 'learned-range'): Promise<number> => {
        const options = { model, diffusion: process, device, data, count: 500, variance, batchSize: 500 };
        return (await bitsPerDimension(options)).total.mean;
      };
      const [small, large, learned] = [
        await bits('fixed-small'),
        await bits('fixed-large'),
        await bits('learned-range'),
      ];
      expect(learned).toBeLessThan(Math.min(small, large) - 0.05);
    },
  );

  test('each batch reports an estimate of the bound, but for its prior', async () => {
    // Four bytes a sample, dark or bright as a whole, so that the last term has all kinds of bytes.
    const bytes = Uint8Array.from({ length: 4 * 64 }, (_, i) => ((i >> 2) % 2) * 240 + (i % 16));
    const data = byteDataset(bytes, [4]);
    const model = mlp({ shape: [4], width: 16, layers: 1, learnedVariance: true });
    const process = gaussianDiffusion({ schedule: cosineSchedule({ steps: 10 }), predict: 'v' });
    const run = (learningRate: number) => {
      const options = { data, loss: 'vlb', batchSize: 64, steps: 300, optimizer: adamW({ learningRate }) } as const;
      return finishTraining({ model, diffusion: process, ...options });
    };
    await run(3e-3);
    const { mean, error } = meanOf((await run(1e-12)).map(({ outputs }) => outputs.bound as number));
    // Training clips nothing.
    const bound = await bitsPerDimension({ model, diffusion: process, device, data, clip: Infinity });
    const parts = bound.diffusion.mean + bound.reconstruction.mean;
    expect(Math.abs(mean - parts)).toBeLessThan(4 * Math.hypot(error, bound.total.standardError));
    expect(error / parts).toBeLessThan(0.05);
  });

  test('a run is saved as diffusers would, and sampled with its own variance', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'diffuse-variance-'));
    try {
      const model = new UNet2D({ shape: [8, 8, 1], channels: [8], layers: 1, learnedVariance: true });
      const training = train({ model, diffusion: cosine, data: bands(), device, steps: 20, batchSize: 4, ema: 0 });
      for await (const { step } of training) {
        if (step === 20)
          await saveRun(folder, { model, diffusion: cosine, state: training.state, fingerprint: '', seed: 0 });
      }
      const json = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(folder, name), 'utf8'));
      expect(await json('scheduler/scheduler_config.json')).toMatchObject({ variance_type: 'learned_range' });
      expect(await json('unet/config.json')).toMatchObject({ in_channels: 1, out_channels: 2 });

      const loaded = await loadRun(folder, { device, kind: 'unet2d' });
      expect(loaded.model.learnedVariance).toBe(true);
      const drawn = async (variance: DdpmVariance): Promise<Float32Array> =>
        (await sample({ ...loaded, device, sampler: ddpm({ steps: 10, variance }), count: 2, seed: 1 })).images;
      const images = await drawn(loaded.scheduler.variance);
      expect(images.every(Number.isFinite)).toBe(true);
      expect(images).not.toEqual(await drawn('fixed-small'));
      expect(images).not.toEqual(await drawn('fixed-large'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('a model that learns its variance is trained by the hybrid loss unless another is asked for', async () => {
    const make = (): UNet2D => new UNet2D({ shape: [8, 8, 1], channels: [8], layers: 1, learnedVariance: true });
    const losses = async (options: Partial<TrainOptions>): Promise<number[]> =>
      (await finishTraining({ model: make(), diffusion: cosine, steps: 3, ...options })).map(({ loss }) => loss);
    expect(await losses({})).toEqual(await losses({ loss: 'hybrid', boundWeight: 0.001 }));
    expect(await losses({})).not.toEqual(await losses({ loss: 'vlb' }));
    expect(await losses({})).not.toEqual(await losses({ boundWeight: 0.1 }));
  });

  test.each<[string, () => Partial<TrainOptions>]>([
    ["the loss 'hybrid' needs a network that predicts its variance", () => ({ loss: 'hybrid' })],
    ["the loss 'vlb' needs a network that predicts its variance", () => ({ loss: 'vlb' })],
    [
      "the model predicts its variance, which the loss 'simple' does not teach",
      () => ({
        loss: 'simple',
        model: new UNet2D({ shape: [8, 8, 1], channels: [8], layers: 1, learnedVariance: true }),
      }),
    ],
    ["unknown loss 'mse'", () => ({ loss: 'mse' as 'simple' })],
    ['boundWeight must be a number', () => ({ boundWeight: -1 })],
  ])('refuses: %s', (problem, options) => {
    const model = new UNet2D({ shape: [8, 8, 1], channels: [8], layers: 1 });
    const start = (): unknown =>
      train({ model, diffusion: cosine, data: bands(), device, steps: 1, batchSize: 2, ...options() });
    expect(start).toThrow(problem);
  });
});
