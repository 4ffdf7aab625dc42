import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadRun, saveRun } from '../../src/checkpoint/run.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { Graph } from '../../src/graph/graph.ts';
import { randomUniform } from '../../src/graph/ops/random.ts';
import { compile } from '../../src/graph/program.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import { Purpose, splitSeed } from '../../src/random/philox.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import { dropLabels } from '../../src/training/drop-labels.ts';
import { finish, tinyTraining } from './tiny.ts';

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 2 });
  folder = await mkdtemp(join(tmpdir(), 'diffuse-drop-'));
});
afterAll(async () => {
  device.dispose();
  await rm(folder, { recursive: true, force: true });
});

const conditional = (nullClass = true): UNet2D =>
  new UNet2D({ shape: [8, 8, 1], channels: [8, 16], layers: 1, classes: 4, nullClass });

describe('dropped labels', () => {
  test('are the share asked for, within five deviations, and the others stay', () => {
    const count = 100_000;
    const labels = Int32Array.from({ length: count }, (_, n) => n % 7);
    const dropped = dropLabels(labels, { probability: 0.1, nullClass: 7, seed: 3, step: 5, sampleOffset: 0 });
    const share = dropped.filter((label) => label === 7).length / count;
    expect(Math.abs(share - 0.1)).toBeLessThan(5 * Math.sqrt((0.1 * 0.9) / count));
    expect(dropped.every((label, n) => label === 7 || label === n % 7)).toBe(true);
  });

  test('do not depend on how the batch is split', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(1000), fc.integer({ min: 1, max: 63 }), (seed, step, cut) => {
        const labels = Int32Array.from({ length: 64 }, (_, n) => n % 10);
        const options = { probability: 0.5, nullClass: 10, seed, step };
        const whole = dropLabels(labels, { ...options, sampleOffset: 0 });
        const parts = [
          ...dropLabels(labels.slice(0, cut), { ...options, sampleOffset: 0 }),
          ...dropLabels(labels.slice(cut), { ...options, sampleOffset: cut }),
        ];
        expect(parts).toEqual([...whole]);
      }),
    );
  });

  test('are those of the numbers that a kernel draws', async () => {
    const [seedLow, seedHigh] = splitSeed(2 ** 40 + 9);
    const graph = new Graph();
    const uniform = randomUniform(graph, [256, 1], {
      ...{ seedLow, seedHigh, purpose: Purpose.dropClass, step: 12, sampleOffset: 100 },
      ...{ low: 0, high: 1 },
    });
    using program = compile(graph, { device, outputs: { uniform } });
    const { uniform: numbers } = await program.run();
    const options = { probability: 0.3, nullClass: 1, seed: 2 ** 40 + 9, step: 12, sampleOffset: 100 };
    const dropped = dropLabels(new Int32Array(256), options);
    expect([...dropped]).toEqual(Array.from(numbers, (u) => Number(u < 0.3)));
  });

  test('train the row of the null class, with the same bits for every number of threads', async () => {
    const begun = conditional();
    const { table, parameters } = await initializeModel(begun, device, { seed: 7 });
    const slot = table.slot('class_embedding.weight');
    const rowOf = (values: Float32Array): Float32Array => values.slice(4 * 32, 5 * 32);
    const before = rowOf(await parameters.read(slot.offset, 5 * 32));

    const run = async (threads: number, dropClass: number): ReturnType<typeof finish> => {
      using own = await openDevice('cpu', { threads });
      return finish(await tinyTraining(own, { model: conditional(), dropClass, steps: 6, accumulate: 2 }));
    };
    const [one, three, without] = [await run(1, 0.5), await run(3, 0.5), await run(2, 0)];
    expect(three.log).toEqual(one.log);
    expect(three.bytes.parameters?.equals(one.bytes.parameters as Buffer)).toBe(true);
    expect(without.log).not.toEqual(one.log);

    const moment = (bytes: Buffer): Float32Array => {
      const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      return rowOf(floats.slice(slot.offset, slot.offset + 5 * 32));
    };
    expect(moment(one.bytes.firstMoment as Buffer).some((value) => value !== 0)).toBe(true);
    expect(moment(without.bytes.firstMoment as Buffer).every((value) => value === 0)).toBe(true);
    expect(moment(one.bytes.parameters as Buffer)).not.toEqual(before);
  });

  test.each([
    ['dropClass is 1; it must be in', () => ({ model: conditional(), dropClass: 1 })],
    ['dropClass is -0.1; it must be in', () => ({ model: conditional(), dropClass: -0.1 })],
    ['there is nothing to drop', () => ({ dropClass: 0.1 })],
    ['no null class: make it with nullClass: true', () => ({ model: conditional(false), dropClass: 0.1 })],
  ])('refuses: %s', async (message, options) => {
    await expect(tinyTraining(device, options())).rejects.toThrow(message);
  });
});

describe('the null class of a U-Net', () => {
  test('is one more row of the table of classes', () => {
    const model = conditional();
    expect(model).toMatchObject({ classes: 4, nullClass: 4 });
    expect(model.parameters.find(({ name }) => name === 'class_embedding.weight')?.shape).toEqual([5, 32]);
    expect(conditional(false)).toMatchObject({ classes: 4, nullClass: null });
    expect(() => new UNet2D({ shape: [8, 8, 1], channels: [8], nullClass: true })).toThrow(
      'nullClass is true, but the model is not told a class',
    );
  });

  test('is known to a run that was saved, and diffusers sees 5 classes and no unknown key', async () => {
    const model = conditional();
    const training = await tinyTraining(device, { model, steps: 1, dropClass: 0.5 });
    const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
    for await (const _ of training) {
      await saveRun(folder, { model, diffusion, state: training.state, fingerprint: 'bands', seed: 7 });
    }
    const { model: loaded } = await loadRun(folder, { device });
    expect(loaded).toMatchObject({ classes: 4, nullClass: 4 });
    const config = JSON.parse(await readFile(join(folder, 'unet/config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ num_class_embeds: 5, _null_class: true });
    // diffusers drops keys that begin with '_' without a warning.
    const unknown = Object.keys(config).filter((key) => key.includes('null') && !key.startsWith('_'));
    expect(unknown).toEqual([]);
  });
});
