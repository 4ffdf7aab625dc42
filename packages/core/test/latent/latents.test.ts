import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sliceChannels } from '../../src/graph/graph.ts';
import { autoencodingObjective } from '../../src/latent/autoencoding-objective.ts';
import { decodeLatents, encodeImages } from '../../src/latent/latents.ts';
import { type Autoencoder, type AutoencoderOptions, autoencoder } from '../../src/models/autoencoder.ts';
import type { Model } from '../../src/models/model.ts';
import { initializeModel } from '../../src/models/weights.ts';
import { type Device, openDevice } from '../../src/native/device.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { adamW } from '../../src/training/optimizer.ts';
import { train } from '../../src/training/train.ts';
import { testModelConformance } from '../models/model-conformance.ts';

/** Both halves of an autoencoder as one model that returns what it is given. */
function roundTrip(coder: Autoencoder): Model {
  return {
    ...coder,
    nullClass: null,
    forward: ({ x, parameter }) =>
      coder.decode(sliceChannels(coder.encode(x, { parameter }), 0, coder.latentShape[2]), { parameter }),
  };
}

testModelConformance(
  'both halves of an autoencoder',
  () => roundTrip(autoencoder({ shape: [4, 6, 2], channels: [4, 6], latentChannels: 3 })),
  { isTold: false },
);

/** Images of 8x8 pixels, bright up to a column of their own. */
function bars(dtype: 'u8' | 'f32' | 'i32', count = 10): Dataset {
  const byte = (index: number, pixel: number): number => (pixel % 8 <= index % 8 ? 255 : 0);
  return {
    shape: [8, 8, 1],
    dtype,
    count,
    fingerprint: 'bars',
    labels: Int32Array.from({ length: count }, (_, i) => i % 8),
    classNames: ['0', '1', '2', '3', '4', '5', '6', '7'],
    async read(indices, target) {
      for (const [row, index] of indices.entries()) {
        for (let p = 0; p < 64; p++)
          target[row * 64 + p] = dtype === 'f32' ? byte(index, p) / 127.5 - 1 : byte(index, p);
      }
    },
  };
}

describe('latents', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice('cpu', { threads: 2 });
  });
  afterAll(() => device.dispose());
  const small = (): Autoencoder => autoencoder({ shape: [8, 8, 1], channels: [8, 8], latentChannels: 2 });

  test('an autoencoder learns to give back what it got; latents have deviation 1', { timeout: 120_000 }, async () => {
    const model = small();
    const objective = autoencodingObjective({ klWeight: 1e-3 });
    const data = bars('u8');
    const optimizer = adamW({ learningRate: 5e-3, weightDecay: 0 });
    const reports: Readonly<Record<string, number>>[] = [];
    for await (const progress of train({
      model,
      objective,
      data,
      device,
      steps: 250,
      batchSize: 16,
      optimizer,
      ema: 0,
    })) {
      reports.push(progress.outputs);
      const { error = 0, kl = 0 } = progress.outputs;
      expect(progress.loss).toBeCloseTo(error + (1e-3 * kl) / 64, 5);
    }
    expect(reports[0]?.error).toBeGreaterThan(0.5);
    expect(reports.at(-1)?.error).toBeLessThan(0.05);
    expect(reports.at(-1)?.kl).toBeGreaterThan(0);

    const latents = await encodeImages(data, { model, device });
    expect(latents.shape).toEqual([4, 4, 2]);
    expect(latents.labels).toEqual(data.labels);
    const mean = latents.data.reduce((sum, z) => sum + z, 0) / latents.data.length;
    const variance = latents.data.reduce((sum, z) => sum + (z - mean) ** 2, 0) / latents.data.length;
    expect(Math.sqrt(variance)).toBeCloseTo(1, 5);

    const images = await decodeLatents(latents.data, latents.scale, { model, device });
    const original = new Float32Array(images.length);
    await bars('f32').read(
      Int32Array.from({ length: data.count }, (_, i) => i),
      original,
    );
    const error = images.reduce((sum, value, i) => sum + (value - (original[i] ?? 0)) ** 2, 0) / images.length;
    expect(error).toBeLessThan(0.05);
  });

  test('bytes and the same numbers as float32 have the same latents, in batches of any size', async () => {
    const model = small();
    await initializeModel(model, device, { seed: 1 });
    const reference = await encodeImages(bars('u8'), { model, device });
    expect((await encodeImages(bars('f32'), { model, device })).data).toEqual(reference.data);
    expect((await encodeImages(bars('u8'), { model, device, batchSize: 3 })).data).toEqual(reference.data);
    const rows = new Float32Array(2 * 32);
    await reference.read(Int32Array.of(7, 2), rows);
    expect(rows).toEqual(Float32Array.of(...reference.data.subarray(224, 256), ...reference.data.subarray(64, 96)));
    const images = await decodeLatents(reference.data, reference.scale, { model, device });
    expect(await decodeLatents(reference.data, reference.scale, { model, device, batchSize: 4 })).toEqual(images);
  });

  test('what does not fit is refused', async () => {
    const model = small();
    const code = (value: string): object => ({ code: value });
    await expect(encodeImages(bars('u8'), { model, device })).rejects.toMatchObject(code('ERR_ARGUMENT'));
    await initializeModel(model, device, { seed: 1 });
    const { data, scale } = await encodeImages(bars('u8'), { model, device });
    await expect(encodeImages(bars('i32'), { model, device })).rejects.toMatchObject(code('ERR_DTYPE'));
    await expect(encodeImages({ ...bars('u8'), shape: [8, 8, 3] }, { model, device })).rejects.toMatchObject(
      code('ERR_SHAPE'),
    );
    await expect(encodeImages(bars('u8'), { model, device, batchSize: 0 })).rejects.toMatchObject(code('ERR_ARGUMENT'));
    await expect(decodeLatents(data.subarray(1), scale, { model, device })).rejects.toMatchObject(code('ERR_SHAPE'));
    await expect(decodeLatents(data, 0, { model, device })).rejects.toMatchObject(code('ERR_ARGUMENT'));
    const signal = AbortSignal.abort();
    await expect(decodeLatents(data, scale, { model, device, signal })).rejects.toMatchObject(code('ERR_CANCELLED'));
    expect(() => autoencodingObjective({ klWeight: -1 })).toThrow('klWeight');
    expect(() => train({ model, objective: autoencodingObjective(), data: bars('i32'), device, steps: 1 })).toThrow(
      expect.objectContaining(code('ERR_DTYPE')),
    );
  });

  test.each<[Partial<AutoencoderOptions>, string]>([
    [{ shape: [6, 8, 1] }, 'the height is 6'],
    [{ channels: [3] }, 'channels'],
    [{ latentChannels: 0 }, 'latentChannels'],
  ])('autoencoder: refuses %j: %s', (options, message) => {
    expect(() => autoencoder({ shape: [8, 8, 1], channels: [4, 4, 4], ...options })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(message) }),
    );
  });
});
