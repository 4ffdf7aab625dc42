import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRun, loadTrainingState, saveRun } from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { classifierAccuracy, classify } from '../../src/evaluation/classify.ts';
import { Graph } from '../../src/graph/graph.ts';
import { compile } from '../../src/graph/program.ts';
import { type Classifier, type ClassifierOptions, classifier } from '../../src/models/classifier.ts';
import { classifierSlope } from '../../src/models/classifier-slope.ts';
import { initializeModel, parameterTable } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { classification } from '../../src/training/objectives/classification.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { type ObjectiveTrainOptions, type Training, train } from '../../src/training/train.ts';
import { bands, deterministic, finish } from './tiny.ts';

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  folder = await mkdtemp(join(tmpdir(), 'diffuse-classifier-'));
});
afterAll(async () => {
  device.dispose();
  await rm(folder, { recursive: true, force: true });
});

const diffusion = gaussianDiffusion({ schedule: cosineSchedule() });

function tinyClassifier(options: Partial<ClassifierOptions> = {}): Classifier {
  return classifier({ shape: [8, 8, 1], classes: 4, channels: [8, 16], ...options });
}

function training(options: Partial<ObjectiveTrainOptions<Classifier>> = {}, on = device): Training {
  return train({
    model: tinyClassifier(),
    objective: classification(),
    data: bands(),
    device: on,
    steps: 12,
    batchSize: 8,
    ema: 0.99,
    optimizer: adamW({ learningRate: 3e-3 }),
    seed: 7,
    ...options,
  });
}

/** All images of a data set, as bytes. */
async function imagesOf(data: ReturnType<typeof bands>): Promise<Uint8Array> {
  const images = new Uint8Array(data.count * 64);
  await data.read(
    Int32Array.from({ length: data.count }, (_, i) => i),
    images,
  );
  return images;
}

describe('training a classifier', () => {
  test('learns: the loss falls from that of guessing, and every image is told right', async () => {
    const model = tinyClassifier();
    const losses: number[] = [];
    const accuracies: number[] = [];
    for await (const { loss, outputs } of training({ model, steps: 120, batchSize: 16 })) {
      losses.push(loss);
      accuracies.push(outputs.accuracy as number);
    }
    expect(Math.abs((losses[0] ?? 0) - Math.log(4))).toBeLessThan(0.5);
    expect(losses.at(-1)).toBeLessThan(0.1);
    expect(accuracies.at(-1)).toBe(1);
    expect(accuracies.every((share) => Number.isInteger(share * 16))).toBe(true);
    expect(await classifierAccuracy(model, device, bands(), { ema: false, batchSize: 7 })).toBe(1);
  });

  test('gives the same bits for every number of threads, accumulated or not', async () => {
    for (const accumulate of [1, 2]) {
      const run = async (threads: number): ReturnType<typeof finish> => {
        using own = await openDevice('cpu', { threads });
        return finish(training({ accumulate, model: tinyClassifier({ dropout: 0.1 }) }, own));
      };
      const [one, three] = [await run(1), await run(3)];
      expect(three.log).toEqual(one.log);
      for (const [name, bytes] of Object.entries(one.bytes)) expect(three.bytes[name]?.equals(bytes), name).toBe(true);
    }
  });

  test('resumes with the same bits as without stopping', async () => {
    const whole = await finish(training());
    const model = tinyClassifier();
    const log: string[] = [];
    const { fingerprint } = bands();
    const begun = training({ model });
    for await (const progress of begun) {
      log.push(deterministic(progress));
      if (progress.step < 5) continue;
      await saveRun(join(folder, 'resume'), { model, state: begun.state, fingerprint, seed: 7 });
      break;
    }
    const again = tinyClassifier();
    const resume = await loadTrainingState(join(folder, 'resume'), {
      ...{ device, model: again, ema: true, fingerprint, seed: 7 },
    });
    const rest = await finish(training({ model: again, resume }));
    expect([...log, ...rest.log]).toEqual(whole.log);
    for (const [name, bytes] of Object.entries(whole.bytes)) expect(rest.bytes[name]?.equals(bytes), name).toBe(true);
  });

  test('is told the noise level, and learns from noisy images', async () => {
    const model = tinyClassifier({ timeConditioned: true });
    const losses: number[] = [];
    const options = { model, objective: classification({ diffusion, flip: true }), steps: 150, batchSize: 16 };
    for await (const { loss } of training(options)) losses.push(loss);
    const last = losses.slice(-30).reduce((sum, loss) => sum + loss / 30, 0);
    expect(last).toBeLessThan(0.8 * Math.log(4)); // the noisiest images say nothing
    expect(await classifierAccuracy(model, device, bands(), { ema: false })).toBeGreaterThan(0.9);
  });

  test.each<[string, () => Partial<ObjectiveTrainOptions<Classifier>>]>([
    ['give classification a diffusion', () => ({ model: tinyClassifier({ timeConditioned: true }) })],
    ['these are int32', () => ({ data: { ...bands(), dtype: 'i32' } })],
    ['has no labels', () => ({ data: withoutLabels() })],
    ['the data has the label 2; the model knows 0 to 1', () => ({ model: tinyClassifier({ classes: 2 }) })],
  ])('refuses: %s', (message, options) => {
    expect(() => training(options())).toThrow(message);
  });

  test('train takes a diffusion or an objective, one of them', () => {
    const options = { data: bands(), device, steps: 1, model: tinyClassifier() };
    expect(() => train(options as never)).toThrow('train needs a diffusion or an objective: it was given neither');
    expect(() => train({ ...options, diffusion, objective: classification() } as never)).toThrow('it was given both');
  });
});

function withoutLabels(): ReturnType<typeof bands> {
  const { labels: _, ...data } = bands();
  return data;
}

describe('classify', () => {
  test('does not depend on the batch, nor on whether images are bytes or floats', async () => {
    const model = tinyClassifier();
    await initializeModel(model, device, { seed: 3 });
    const bytes = await imagesOf(bands(19));
    const whole = await classify(model, device, bytes, { batchSize: 19 });
    expect(whole.logits).toHaveLength(19 * 4);
    expect(whole.features).toHaveLength(19 * 16);
    const floats = Float32Array.from(bytes, (byte) => (byte - 127.5) / 127.5);
    expect(await classify(model, device, floats, { batchSize: 5 })).toEqual(whole);
    whole.labels.forEach((label, n) => {
      const row = [...whole.logits.subarray(4 * n, 4 * n + 4)];
      expect(label).toBe(row.indexOf(Math.max(...row)));
    });
  });

  test('refuses what it cannot run', async () => {
    const model = tinyClassifier();
    await expect(classify(model, device, new Uint8Array(64))).rejects.toThrow('the model has no weights yet');
    await initializeModel(model, device);
    await expect(classify(model, device, new Uint8Array(65))).rejects.toThrow('no whole number of images of 8 x 8 x 1');
    await expect(classify(model, device, new Uint8Array(64), { batchSize: 0 })).rejects.toThrow('batchSize is 0');
    const cancelled = classify(model, device, new Uint8Array(64), { signal: AbortSignal.abort() });
    await expect(cancelled).rejects.toMatchObject({ code: 'ERR_CANCELLED' });
    await expect(classifierAccuracy(model, device, withoutLabels())).rejects.toMatchObject({ code: 'ERR_DATA' });
  });
});

describe('the slope of a classifier', () => {
  test.each([false, true])('is that of log p(label | x) by finite differences, time-conditioned: %s', async (told) => {
    const model = tinyClassifier({ timeConditioned: told });
    const { parameters } = await initializeModel(model, device, { seed: 5 });
    const labels = Int32Array.of(2, 0, 3);
    const images = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i * 1.7));
    const graph = new Graph();
    const x = graph.input('x', [3, 8, 8, 1]);
    const t = graph.input('t', [3]);
    const slope = classifierSlope(model)({ graph, x, t, labels: graph.input('labels', [3], 'i32') });
    using program = compile(graph, { device, outputs: { slope }, buffers: { guide: parameters } });
    const level = 40;
    const inputs = { x: images, labels, ...(told && { t: new Float32Array(3).fill(level) }) };
    const { slope: computed } = await program.run({ inputs: { t: new Float32Array(3).fill(level), ...inputs } });

    const logP = async (moved: Float32Array): Promise<number[]> => {
      const { logits } = await classify(model, device, moved, { t: level });
      return Array.from(labels, (label, n) => {
        const row = [...logits.subarray(4 * n, 4 * n + 4)];
        return (row[label] ?? 0) - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      });
    };
    // Along one direction for each image; float32 leaves about three digits of a difference of this size.
    const direction = images.map((_, i) => Math.cos(i * i));
    const step = 1e-2;
    const at = async (sign: number): Promise<number[]> =>
      logP(images.map((value, i) => value + sign * step * (direction[i] ?? 0)));
    const [ahead, behind] = [await at(1), await at(-1)];
    for (let n = 0; n < 3; n++) {
      const along = computed
        .subarray(64 * n, 64 * n + 64)
        .reduce((sum, value, i) => sum + value * (direction[64 * n + i] ?? 0), 0);
      const difference = ((ahead[n] ?? 0) - (behind[n] ?? 0)) / (2 * step);
      expect(Math.abs(difference - along)).toBeLessThan(2e-3 * Math.max(1, Math.abs(along)));
    }
  });
});

describe('the files of a classifier', () => {
  test('hold all that is needed to get the same answers', async () => {
    const model = tinyClassifier({ timeConditioned: true, layers: 2 });
    const directory = join(folder, 'saved');
    const data = bands();
    const run = training({ model, objective: classification({ diffusion }), steps: 3 });
    for await (const { step } of run) {
      const { classNames, fingerprint } = data;
      if (step === 3) await saveRun(directory, { model, state: run.state, fingerprint, seed: 7, classNames });
    }
    const images = await imagesOf(data);
    for (const ema of [true, false]) {
      const loaded = await loadRun(directory, { device, ema, kind: 'classifier' });
      expect(loaded.classNames).toEqual(['a', 'b', 'c', 'd']);
      expect(loaded.model.config).toEqual(model.config);
      expect(await classify(loaded.model, device, images)).toEqual(await classify(model, device, images, { ema }));
    }
  });

  test.each<[string, Record<string, unknown>]>([
    ['_class_name is \'UNet2DModel\'; expected "DiffuseClassifier"', { _class_name: 'UNet2DModel' }],
    ['shape is missing; expected a list of 3 entries, each an integer', { shape: undefined }],
    ["channels is [ 8, '16' ]; expected a list of 1 to 16 entries, each an integer", { channels: [8, '16'] }],
    ["classes is '4'; expected an integer from 1", { classes: '4' }],
    ['time_conditioned is 1; expected true or false', { time_conditioned: 1 }],
    ['classifier: the height is 9; 2 levels need a multiple of 2', { shape: [9, 8, 1] }],
  ])('a configuration is refused: %s', async (message, change) => {
    const path = join(folder, 'saved/model/config.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, JSON.stringify({ ...JSON.parse(text), ...change }));
    const refused = loadRun(join(folder, 'saved'), { device, kind: 'classifier' });
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringContaining(`config.json: ${message}`),
    });
    await writeFile(path, text);
  });
});

test.each<[string, Partial<ClassifierOptions>]>([
  ['classifier: classes is 1; it must be an integer, at least 2', { classes: 1 }],
  ['classifier: channels is []', { channels: [] }],
  ['classifier: shape is [8, 8]', { shape: [8, 8] as never }],
  ['classifier: dropout is 1', { dropout: 1 }],
])('a classifier that cannot be is refused: %s', (message, options) => {
  expect(() => tinyClassifier(options)).toThrow(message);
});

test('the default classifier of MNIST has between 100,000 and 300,000 parameters', () => {
  const { count } = parameterTable(classifier({ shape: [28, 28, 1], classes: 10 }).parameters);
  expect(count).toBeGreaterThan(100_000);
  expect(count).toBeLessThan(300_000);
});
