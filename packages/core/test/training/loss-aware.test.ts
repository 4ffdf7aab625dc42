import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadTrainingState, saveRun } from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { gradient } from '../../src/graph/gradient.ts';
import { Graph, type Value } from '../../src/graph/graph.ts';
import { fill } from '../../src/graph/ops/elementwise.ts';
import { compile } from '../../src/graph/program.ts';
import type { UNet2D } from '../../src/models/unet2d.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import {
  createLossHistory,
  drawTimesteps,
  type LossHistory,
  recordLosses,
  type TimestepLaw,
  timestepLaw,
} from '../../src/training/loss-aware.ts';
import { diffusionObjective } from '../../src/training/objectives/denoising.ts';
import type { TrainOptions } from '../../src/training/train.ts';
import type { TrainingState } from '../../src/training/training-state.ts';
import { bands, deterministic, finish, tinyModel, tinyTraining } from './tiny.ts';

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  folder = await mkdtemp(join(tmpdir(), 'diffuse-loss-aware-'));
});
afterAll(async () => {
  device.dispose();
  await rm(folder, { recursive: true, force: true });
});

/** A history whose timestep t has had ten losses of the given size, half of them negative: squares alone count. */
function historyOf(losses: readonly number[]): LossHistory {
  const history = createLossHistory(losses.length);
  losses.forEach((loss, t) => {
    for (let k = 0; k < 10; k++) recordLosses(history, Float32Array.of(t), Float32Array.of(k % 2 ? loss : -loss));
  });
  return history;
}

describe('the history', () => {
  test('keeps the last ten losses of each timestep, from the oldest to the newest', () => {
    const history = createLossHistory(3);
    for (let k = 0; k < 12; k++) recordLosses(history, Float32Array.of(2, 0), Float32Array.of(k, 100 + k));
    const row = (t: number): number[] => [...history.losses.subarray(10 * t, 10 * t + 10)];
    expect(row(0)).toEqual([102, 103, 104, 105, 106, 107, 108, 109, 110, 111]);
    expect(row(1).every(Number.isNaN)).toBe(true);
    expect(row(2)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test('gives no law until each timestep has its ten', () => {
    const history = historyOf([1, 2]);
    expect(timestepLaw(history)).toBeDefined();
    history.losses[19] = Number.NaN;
    expect(timestepLaw(history)).toBeUndefined();
  });

  test('gives probabilities in proportion to the root of the mean square, a thousandth aside', () => {
    const { probabilities } = timestepLaw(historyOf([1, 3, 0, 4])) as TimestepLaw;
    [1, 3, 0, 4].forEach((loss, t) => {
      expect(probabilities[t]).toBeCloseTo(0.999 * (loss / 8) + 0.001 / 4, 15);
    });
  });

  test('of losses that are all 0 gives no law', () => {
    expect(timestepLaw(historyOf([0, 0, 0]))).toBeUndefined();
  });
});

describe('drawing timesteps', () => {
  const timesteps = 20;
  const law = timestepLaw(historyOf(Array.from({ length: timesteps }, (_, t) => (t % 5 === 0 ? 0 : 1 + t ** 2))));
  const draw = (count: number, step = 0, sampleOffset = 0) =>
    drawTimesteps(law, { timesteps, seed: 11, step, sampleOffset, count });

  test('follows the law: chi-square of 20,000 draws over those that are expected five times', () => {
    const counts = new Float64Array(timesteps);
    const { level } = draw(20_000);
    for (const t of level) counts[t] = (counts[t] as number) + 1;
    let [chiSquare, cells] = [0, 0];
    (law as TimestepLaw).probabilities.forEach((probability, t) => {
      const expected = 20_000 * probability;
      if (expected < 5) return;
      chiSquare += ((counts[t] as number) - expected) ** 2 / expected;
      cells++;
    });
    expect(cells).toBe(16);
    expect(chiSquare).toBeLessThan(37.7); // 15 degrees of freedom, p = 0.001
  });

  test('weighs each draw so that the mean of anything is that of timesteps drawn evenly', () => {
    const { probabilities } = law as TimestepLaw;
    const { level, importance } = draw(20_000);
    fc.assert(
      fc.property(fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 20, maxLength: 20 }), (values) => {
        const even = values.reduce((sum, value) => sum + value, 0) / timesteps;
        const exact = values.reduce((sum, value, t) => {
          const weight = 1 / (timesteps * (probabilities[t] as number));
          return sum + (probabilities[t] as number) * weight * value;
        }, 0);
        expect(exact).toBeCloseTo(even, 12);
        // Timesteps with next to no loss are rarely drawn and then count much: leave them out of the sampled mean.
        const kept = values.map((value, t) => (t % 5 === 0 ? 0 : value));
        const keptMean = kept.reduce((sum, value) => sum + value, 0) / timesteps;
        const terms = Array.from(level, (t, n) => (importance[n] as number) * (kept[t] as number));
        const mean = terms.reduce((sum, term) => sum + term, 0) / terms.length;
        const variance = terms.reduce((sum, term) => sum + (term - mean) ** 2, 0) / terms.length;
        expect(Math.abs(mean - keptMean)).toBeLessThanOrEqual(5 * Math.sqrt(variance / terms.length) + 1e-12);
      }),
      { numRuns: 30 },
    );
  });

  test('does not depend on how samples are put into batches, and does on step and sample', () => {
    const whole = draw(12, 3);
    const parts = [draw(5, 3), draw(7, 3, 5)];
    expect([...whole.level]).toEqual(parts.flatMap(({ level }) => [...level]));
    expect([...whole.importance]).toEqual(parts.flatMap(({ importance }) => [...importance]));
    expect([...draw(12, 4).level]).not.toEqual([...whole.level]);
  });
});

/**
 * Gradient of the loss by what a network says, [N, 2, 2, channels], and the losses that are remembered.
 *
 * @param drawn levels and importance for a loss-aware objective; absent: one that draws evenly.
 */
async function slope(
  loss: 'simple' | 'hybrid' | 'vlb',
  drawn?: { level: Float32Array; importance: Float32Array },
): Promise<{ dsaid: Float32Array; perSample: Float32Array }> {
  const N = 16;
  const channels = loss === 'simple' ? 1 : 2;
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 30 }), predict: 'v' });
  const graph = new Graph();
  const said = graph.input('said', [N, 2, 2, channels]);
  const objective = diffusionObjective(diffusion, { loss, timestepSampling: drawn ? 'loss-aware' : 'uniform' });
  const given = (name: string): Value | undefined => (drawn ? graph.input(name, [N]) : undefined);
  const { loss: total, perSample } = objective.build({
    graph,
    model: {
      shape: [2, 2, 1],
      classes: null,
      nullClass: null,
      parameters: [],
      frozen: new Set(),
      weights: undefined,
      forward: () => said,
    },
    batchSize: N,
    inputs: { data: graph.input('data', [N, 2, 2, 1], 'u8'), level: given('level'), importance: given('importance') },
    randomness: { seedLow: 3, seedHigh: 0, step: 5, sampleOffset: 0 },
    parameter: () => said,
    table: (name, shape) => graph.input(name, shape),
  });
  const dsaid = gradient([{ value: total, gradient: fill(graph, [1], 1) }], [said]).get(said) as Value;
  using program = compile(graph, { device, outputs: { dsaid, perSample: perSample ?? total } });
  const result = await program.run({
    inputs: {
      said: Float32Array.from({ length: N * 4 * channels }, (_, i) => Math.sin(3 * i)),
      data: Uint8Array.from({ length: N * 4 }, (_, i) => (i * 67) % 256),
      bytes: objective.tables?.bytes as Float32Array,
      ...drawn,
    },
  });
  return result;
}

describe('the gradient', () => {
  test.each(['simple', 'hybrid', 'vlb'] as const)('of %s is that of the sample, times its importance', async (loss) => {
    const even = drawTimesteps(undefined, { timesteps: 30, seed: 3, step: 5, sampleOffset: 0, count: 16 });
    const uniform = await slope(loss);
    const same = await slope(loss, even);
    expect(same.dsaid).toEqual(uniform.dsaid);
    const importance = Float32Array.from({ length: 16 }, (_, n) => 2 ** ((n % 5) - 2));
    const weighed = await slope(loss, { ...even, importance });
    const size = uniform.dsaid.length / 16;
    weighed.dsaid.forEach((value, i) => {
      expect(value).toBe((uniform.dsaid[i] as number) * (importance[Math.floor(i / size)] as number));
    });
    // What is remembered is the loss itself.
    expect(weighed.perSample).toEqual(same.perSample);
  });
});

describe('training', () => {
  // So few timesteps that each has its ten losses after some steps.
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 4 }), predict: 'v' });
  const lossAware = (model: UNet2D, options: Partial<TrainOptions> = {}) => ({
    model,
    diffusion,
    timestepSampling: 'loss-aware' as const,
    accumulate: 2,
    ...options,
  });

  test('begins as with timesteps drawn evenly, and then goes its own way', async () => {
    const plain = await finish(await tinyTraining(device, { diffusion, accumulate: 2 }));
    const training = await tinyTraining(device, lossAware(tinyModel()));
    const own = await finish(training);
    expect(own.log.slice(0, 3)).toEqual(plain.log.slice(0, 3));
    expect(own.log.at(-1)).not.toEqual(plain.log.at(-1));
    expect(timestepLaw(training.state.lossHistory as LossHistory)).toBeDefined();
  });

  test.each([5, 12])('resumed after %i steps, with other threads, is bit for bit the same', async (stop) => {
    const wholeTraining = await tinyTraining(device, lossAware(tinyModel()));
    const whole = await finish(wholeTraining);
    const directory = join(folder, `resume ${stop}`);
    const log: string[] = [];
    const model = tinyModel();
    const first = await tinyTraining(device, lossAware(model));
    for await (const progress of first) {
      log.push(deterministic(progress));
      if (progress.step < stop) continue;
      await saveRun(directory, { model, diffusion, state: first.state, fingerprint: bands().fingerprint, seed: 7 });
      break;
    }
    using other = await openDevice('cpu', { threads: 1 });
    const again = tinyModel();
    const resume = await load(directory, again, other);
    const restTraining = await tinyTraining(other, lossAware(again, { resume }));
    const rest = await finish(restTraining);
    expect([...log, ...rest.log]).toEqual(whole.log);
    for (const [name, bytes] of Object.entries(whole.bytes)) expect(rest.bytes[name]?.equals(bytes), name).toBe(true);
    expect(restTraining.state.lossHistory).toEqual(wholeTraining.state.lossHistory);
  });

  test('a run cannot be resumed with another way to draw timesteps', async () => {
    for (const [own, other] of [
      ['loss-aware', 'uniform'],
      ['uniform', 'loss-aware'],
    ] as const) {
      const directory = join(folder, own);
      const model = tinyModel();
      const training = await tinyTraining(device, { model, diffusion, timestepSampling: own, steps: 1 });
      for await (const _ of training) {
        const { state } = training;
        await saveRun(directory, { model, diffusion, state, fingerprint: bands().fingerprint, seed: 7 });
      }
      const again = tinyModel();
      const resume = await load(directory, again, device);
      await expect(
        tinyTraining(device, { model: again, diffusion, timestepSampling: other, resume }),
      ).rejects.toMatchObject({ code: 'ERR_ARGUMENT', message: expect.stringContaining('keep its timestepSampling') });
    }
  });

  test('another name is refused', async () => {
    await expect(tinyTraining(device, { timestepSampling: 'even' as 'uniform' })).rejects.toThrow(
      "unknown timestep sampling 'even'",
    );
  });
});

function load(directory: string, model: UNet2D, on: Device): Promise<TrainingState> {
  const { fingerprint } = bands();
  return loadTrainingState(directory, { device: on, model, ema: true, fingerprint, seed: 7 });
}
