import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { sliceChannels, type Value } from '../../src/graph/graph.ts';
import { copy, fill, multiply, scale } from '../../src/graph/ops/elementwise.ts';
import { embedding } from '../../src/graph/ops/embedding.ts';
import { weightedMse } from '../../src/graph/ops/weighted-mse.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { Network } from '../../src/models/model.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import type { Objective, ObjectiveResult } from '../../src/training/objective.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { type ObjectiveTrainOptions, type Training, train } from '../../src/training/train.ts';
import { bands, deterministic, finish } from './tiny.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

const tokens = 6;
const width = 3;

/** One token a sample, 0 … 5 in turn: samples without dimensions. */
function tokenData(): Dataset {
  return {
    shape: [],
    dtype: 'i32',
    count: 24,
    fingerprint: 'tokens',
    async read(indices, target) {
      indices.forEach((index, i) => {
        target[i] = index % tokens;
      });
    },
  };
}

/** A table of vectors, one for each token. */
function tableNetwork(): Network {
  return {
    shape: [],
    classes: null,
    parameters: [{ name: 'table.weight', shape: [tokens, width], layout: 'plain' }],
    frozen: new Set(),
    weights: undefined,
  };
}

/** What the table is to become: row k holds k, -k and 1. */
const goal = Float32Array.from({ length: tokens * width }, (_, i) => {
  const k = Math.floor(i / width);
  return [k, -k, 1][i % width] as number;
});

/** Learns `goal` by the squared error; reports twice the loss. */
function tableObjective(change: Partial<Objective<Network>> = {}): Objective<Network> {
  return {
    name: 'table',
    tables: { goal },
    build({ graph, batchSize, inputs, parameter, table }) {
      const index = inputs.data;
      const prediction = embedding(parameter('table.weight'), index);
      const target = embedding(table('goal', [tokens, width]), index);
      const { loss } = weightedMse(prediction, target, fill(graph, [batchSize], 1));
      return { loss, outputs: { twice: scale(loss, 2) } };
    },
    ...change,
  };
}

function tableTraining(options: Partial<ObjectiveTrainOptions<Network>> = {}): Training {
  return train({
    ...{ model: tableNetwork(), objective: tableObjective(), data: tokenData(), device, steps: 400, batchSize: 24 },
    ...{ optimizer: adamW({ learningRate: 0.1, weightDecay: 0 }), learningRateShape: 'cosine', clipNorm: 0, ema: 0 },
    ...options,
  });
}

describe('an objective of one’s own', () => {
  test('trains on data that are no images, with a constant table and figures to report', async () => {
    const model = tableNetwork();
    for await (const { loss, outputs } of tableTraining({ model })) expect(outputs).toEqual({ twice: 2 * loss });
    const { parameters } = model.weights ?? {};
    const learned = await parameters?.read(0, tokens * width);
    expect(learned).toHaveLength(goal.length);
    learned?.forEach((value, i) => {
      expect(Math.abs(value - (goal[i] ?? 0))).toBeLessThan(0.02);
    });
  });

  test('figures of accumulated batches are their means', async () => {
    const collect = async (accumulate: number, batchSize: number): Promise<number[]> => {
      const figures: number[] = [];
      for await (const { loss, outputs } of tableTraining({ steps: 3, accumulate, batchSize })) {
        figures.push(loss, outputs.twice as number);
      }
      return figures;
    };
    const [parts, whole] = [await collect(4, 3), await collect(1, 12)];
    parts.forEach((value, i) => {
      expect(Math.abs(value / (whole[i] ?? 0) - 1)).toBeLessThan(1e-5);
    });
  });

  const withResult = (change: (result: ObjectiveResult) => ObjectiveResult): Objective<Network> =>
    tableObjective({ build: (context) => change(tableObjective().build(context)) });

  test.each<[string, () => Objective<Network>]>([
    ["cannot have a table named 'gradients'", () => tableObjective({ tables: { gradients: goal } })],
    ["has no table named 'goal'", () => tableObjective({ tables: {} })],
    ["'goal' of the objective 'table' has 17 elements", () => tableObjective({ tables: { goal: goal.subarray(1) } })],
    [
      "'loss' of the objective 'table' has shape [6], expected [1]",
      () => withResult(({ loss }) => ({ loss: fill(loss.graph, [6], 0) })),
    ],
    ["cannot have an output named 'norm'", () => withResult(({ loss }) => ({ loss, outputs: { norm: copy(loss) } }))],
    [
      "the model has no parameter 'other'",
      () => tableObjective({ build: ({ parameter }) => ({ loss: parameter('other') }) }),
    ],
  ])('is refused before anything runs: %s', (message, objective) => {
    for (const accumulate of [1, 2]) {
      const before = device.allocatedBytes;
      expect(() => tableTraining({ objective: objective(), accumulate })).toThrow(message);
      // What the call allocated for itself is free again; the model keeps its weights.
      expect(device.allocatedBytes - before).toBeLessThanOrEqual(4 * 32);
    }
  });

  test('may leave parameters out; these get a gradient of zero', async () => {
    const model = tableNetwork();
    const objective = tableObjective({
      build({ parameter, graph }): ObjectiveResult {
        const first: Value = sliceChannels(parameter('table.weight'), 0, 1);
        const square = multiply(first, first);
        const { loss } = weightedMse(square, fill(graph, square.shape, 0), fill(graph, [tokens], 1));
        return { loss };
      },
    });
    const training = tableTraining({ model, objective, steps: 1 });
    const weights = (): Promise<Float32Array> => training.state.weights.parameters.read(0, tokens * width);
    await training.state.ready;
    const before = await weights();
    for await (const _ of training);
    (await weights()).forEach((value, i) => {
      if (i % width === 0) expect(value).not.toBe(before[i]);
      else expect(value).toBe(before[i]);
    });
  });
});

describe('a diffusion over points', () => {
  /** A ring of radius 1, as float32 that is taken as it is. */
  const ring: Dataset = {
    shape: [2],
    dtype: 'f32',
    count: 256,
    fingerprint: 'ring',
    async read(indices, target) {
      indices.forEach((index, i) => {
        target.set([Math.cos(index), Math.sin(index)], 2 * i);
      });
    },
  };
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 100 }) });
  const pointTraining = (on: Device, change: { flip?: boolean; data?: Dataset } = {}): Training =>
    train({ model: mlp({ shape: [2] }), diffusion, data: ring, device: on, steps: 5, batchSize: 16, ...change });

  test('has the same bits for every number of threads', async () => {
    const reference = await finish(pointTraining(device));
    using other = await openDevice('cpu', { threads: 1 });
    expect((await finish(pointTraining(other))).log).toEqual(reference.log);
    expect(reference.log).toHaveLength(5);
    expect(new Set(reference.log.map((line) => JSON.parse(line).loss)).size).toBe(5);
  });

  test.each<[string, { flip?: boolean; data?: Dataset }]>([
    ['flip mirrors images [height, width, channels]; the data are [2]', { flip: true }],
    ['Gaussian noise goes with data of bytes or float32; these are int32', { data: { ...ring, dtype: 'i32' } }],
    ['the images are 8 x 8 x 1, the model takes 2', { data: bands() }],
    ['the samples are 3, the model takes 2', { data: { ...ring, shape: [3] } }],
    ['there are no samples to train on', { data: { ...ring, count: 0 } }],
  ])('refuses: %s', (message, change) => {
    expect(() => pointTraining(device, change)).toThrow(message);
  });

  test('reports no figures beside the loss', async () => {
    for await (const progress of pointTraining(device)) {
      expect(progress.outputs).toEqual({});
      expect(JSON.parse(deterministic(progress)).step).toBe(progress.step);
    }
  });
});
