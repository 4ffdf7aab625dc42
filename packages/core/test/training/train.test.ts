import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRun, loadTrainingState, saveRun } from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { ddim } from '../../src/samplers/ddim.ts';
import { sample } from '../../src/samplers/sample.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { type TrainOptions, train } from '../../src/training/train.ts';
import { bands, deterministic, finish, readState, tinyModel, tinyTraining } from './tiny.ts';

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  folder = await mkdtemp(join(tmpdir(), 'diffuse-train-'));
});
afterAll(async () => {
  device.dispose();
  await rm(folder, { recursive: true, force: true });
});

describe('train', () => {
  test('learns: the loss falls far below that of guessing', async () => {
    const losses: number[] = [];
    const options = { steps: 300, batchSize: 16, optimizer: adamW({ learningRate: 3e-3 }) };
    for await (const { loss } of await tinyTraining(device, options)) losses.push(loss);
    const mean = (from: number, to: number): number => losses.slice(from, to).reduce((a, b) => a + b, 0) / (to - from);
    expect(mean(0, 5)).toBeGreaterThan(0.8);
    expect(mean(250, 300)).toBeLessThan(0.4);
  });

  test('offset noise is another noise, and less than nothing is refused', async () => {
    const first = async (options: Partial<TrainOptions>): Promise<number> => {
      for await (const { loss } of await tinyTraining(device, { steps: 1, ...options })) return loss;
      throw new Error('no step');
    };
    expect(await first({ offsetNoise: 0 })).toBe(await first({}));
    expect(await first({ offsetNoise: 0.5 })).not.toBe(await first({}));
    await expect(first({ offsetNoise: -1 })).rejects.toThrow('offsetNoise must be a number from 0 to');
  });

  test.each([1, 3])('%i threads: the same bits in weights, average, moments and reports', async (threads) => {
    const reference = await finish(await tinyTraining(device));
    using other = await openDevice('cpu', { threads });
    const result = await finish(await tinyTraining(other));
    expect(result.log).toEqual(reference.log);
    for (const [name, bytes] of Object.entries(reference.bytes))
      expect(result.bytes[name]?.equals(bytes), name).toBe(true);
  });

  test('resuming gives the same bits as not stopping, also with another number of threads', async () => {
    const whole = await finish(await tinyTraining(device));
    const directory = join(folder, 'resume');
    const log: string[] = [];
    const model = tinyModel();
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
    const data = bands();
    const first = await tinyTraining(device, { model });
    for await (const progress of first) {
      log.push(deterministic(progress));
      if (progress.step === 9) {
        await saveRun(directory, { model, diffusion, state: first.state, fingerprint: data.fingerprint, seed: 7 });
        break;
      }
    }
    using other = await openDevice('cpu', { threads: 1 });
    const again = tinyModel();
    const resume = await loadTrainingState(directory, {
      device: other,
      model: again,
      ema: true,
      fingerprint: data.fingerprint,
      seed: 7,
    });
    expect(resume.step).toBe(9);
    const rest = await finish(await tinyTraining(other, { model: again, resume }));
    expect([...log, ...rest.log]).toEqual(whole.log);
    for (const [name, bytes] of Object.entries(whole.bytes)) expect(rest.bytes[name]?.equals(bytes), name).toBe(true);
  });

  test('accumulating two batches of 8 is a batch of 16, but for rounding', async () => {
    const run = async (batchSize: number, accumulate: number): Promise<number[]> => {
      const losses: number[] = [];
      const model = new UNet2D({ shape: [8, 8, 1], channels: [8, 16], layers: 1 });
      const training = await tinyTraining(device, { model, batchSize, accumulate, steps: 6 });
      for await (const { loss, gradientNorm } of training) losses.push(loss, gradientNorm);
      return losses;
    };
    const [whole, parts] = [await run(16, 1), await run(8, 2)];
    whole.forEach((value, i) => {
      expect(Math.abs((parts[i] ?? 0) / value - 1)).toBeLessThan(1e-4);
    });
  });

  test('a step that is cancelled has not happened', async () => {
    const controller = new AbortController();
    const model = new UNet2D({ shape: [32, 32, 3], channels: [64, 128], attention: [16] });
    const data = { ...bands(), shape: [32, 32, 3] as const, read: async () => undefined };
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule() });
    const training = train({
      model,
      diffusion,
      data,
      device,
      steps: 100,
      batchSize: 16,
      ema: 0,
      signal: controller.signal,
    });
    const before = await readState(training.state);
    let abortedAt = 0;
    setTimeout(() => {
      abortedAt = performance.now();
      controller.abort();
    }, 60);
    const run = async (): Promise<void> => {
      for await (const { step } of training) expect(step).toBe(1); // a slow machine may finish none or one
    };
    await expect(run()).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    expect(performance.now() - abortedAt).toBeLessThan(50);
    if (training.state.step === 0) {
      const after = await training.state.weights.parameters.read(0, training.state.weights.table.size);
      expect(Buffer.from(after.buffer).equals(before.parameters as Buffer)).toBe(true);
    }
  });

  test('a learning rate that explodes is reported with step and tensor, and the weights stay finite', async () => {
    const training = await tinyTraining(device, {
      optimizer: adamW({ learningRate: 1e18 }),
      clipNorm: 0,
      warmup: 0,
      learningRateShape: 'constant',
    });
    const run = async (): Promise<void> => {
      for await (const { loss } of training) expect(Number.isFinite(loss)).toBe(true);
    };
    await expect(run()).rejects.toMatchObject({
      code: 'ERR_NON_FINITE',
      message: expect.stringMatching(/^step \d+: .*(conv|linear|norm|attention|mse|add).*holds (NaN|an infinity)/),
    });
  });

  test('the event loop stays free: p99 of its delay is below 10 ms', async () => {
    const model = new UNet2D({ shape: [16, 16, 1], channels: [32, 64], attention: [8] });
    const data = { ...bands(), shape: [16, 16, 1] as const, read: async () => undefined };
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule() });
    const training = train({ model, diffusion, data, device, steps: 60, batchSize: 16 });
    const delay = monitorEventLoopDelay({ resolution: 1 });
    for await (const { step } of training) if (step === 5) delay.enable();
    delay.disable();
    expect(delay.percentile(99) / 1e6).toBeLessThan(10);
  });

  test.each<[string, () => Partial<TrainOptions>]>([
    ['batchSize is 0', () => ({ batchSize: 0 })],
    ['steps is 1.5', () => ({ steps: 1.5 })],
    ['ema is 1', () => ({ ema: 1 })],
    ['clipNorm is -1', () => ({ clipNorm: -1 })],
    [
      'the images are 8 x 8 x 1, the model takes 16 x 16 x 1',
      () => ({ model: new UNet2D({ shape: [16, 16, 1], channels: [8] }) }),
    ],
    ['no images', () => ({ data: { ...bands(), count: 0 } })],
    ['the data has the label 3; the model knows 0 to 2', () => ({ model: tinyModel({ classes: 3 }) })],
    ['the data has no labels', () => ({ model: tinyModel({ classes: 3 }), data: unlabelled() })],
  ])('refuses: %s', async (message, options) => {
    await expect(tinyTraining(device, options())).rejects.toThrow(message);
  });

  test('too little memory is reported before anything runs, with a batch size that fits', async () => {
    using small = await openDevice('cpu', { memoryLimit: 3_000_000 });
    await expect(tinyTraining(small, { batchSize: 512 })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_MEMORY',
      message: expect.stringMatching(
        /needs .* MiB, .* are available, .* are missing; a batch size of \d+ instead of 512 would fit/,
      ),
    });
  });
});

describe('sample', () => {
  test('image i of a seed does not depend on the batch', async () => {
    const model = tinyModel();
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
    for await (const _ of await tinyTraining(device, { model })) void _;
    const draw = (batchSize: number, count = 6): ReturnType<typeof sample> =>
      sample({ model, diffusion, device, sampler: ddim({ steps: 5, eta: 1 }), count, seed: 3, batchSize });
    const { images, shape } = await draw(6);
    expect(shape).toEqual([6, 8, 8, 1]);
    expect((await draw(4)).images).toEqual(images);
    expect((await draw(1)).images).toEqual(images);
    expect((await draw(2, 2)).images).toEqual(images.slice(0, 2 * 64));
    const last = [];
    for await (const step of sample.steps({
      model,
      diffusion,
      device,
      sampler: ddim({ steps: 5, eta: 1 }),
      count: 6,
      seed: 3,
    }))
      last.push(step);
    expect(last).toHaveLength(5);
    expect(last.at(-1)?.next).toEqual(images);
  });

  test('a saved run samples the same images', async () => {
    const model = tinyModel({ classes: 4 });
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
    const training = await tinyTraining(device, { model, steps: 3 });
    const directory = join(folder, 'saved');
    const data = bands();
    for await (const { step } of training) {
      const { classNames, fingerprint } = data;
      if (step === 3)
        await saveRun(directory, { model, diffusion, state: training.state, fingerprint, seed: 7, classNames });
    }
    const options = { device, sampler: ddim({ steps: 4 }), count: 4, seed: 1, labels: [0, 1, 2, 3] };
    const expected = await sample({ model, diffusion, ...options });
    const loaded = await loadRun(directory, { device });
    expect(loaded.classNames).toEqual(['a', 'b', 'c', 'd']);
    const actual = await sample({ model: loaded.model, diffusion: loaded.diffusion, ...options });
    expect(actual.images).toEqual(expected.images);
  });
});

function unlabelled(): ReturnType<typeof bands> {
  const { labels: _, classNames: __, ...data } = bands();
  return data;
}
