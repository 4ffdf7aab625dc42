import { join } from 'node:path';
import {
  autoencoder,
  autoencodingObjective,
  classification,
  classifier,
  cosineSchedule,
  type Dataset,
  type Device,
  discreteDiffusion,
  gaussianDiffusion,
  mlp,
  openDevice,
  type RunKind,
  type SaveRunOptions,
  saveRun,
  type Training,
  tokenObjective,
  tokenUNet,
  train,
  UNet2D,
  unet1d,
  videoUNet,
} from '@diffuse/core';
import { beforeAll, describe, expect, test } from 'vitest';
import { jsonLines, run, temporaryFolder } from './helpers.ts';

/** What holds each kind of run, what is wanted, and what is said of it. */
const kinds: Readonly<Record<Exclude<RunKind, 'unet2d'>, { readonly title: string; readonly use: string }>> = {
  mlp: { title: 'a network for points', use: "loadRun(folder, { device, kind: 'mlp' }) opens it and sample draws" },
  unet1d: { title: 'a U-Net for signals', use: "kind: 'unet1d' }) opens it and sample draws from it" },
  'video-unet': { title: 'a U-Net for videos', use: "kind: 'video-unet' }) opens it and sample draws from it" },
  'token-unet': { title: 'a U-Net for tokens', use: "kind: 'token-unet' }) opens it and sampleTokens draws from it" },
  classifier: { title: 'a classifier of images', use: 'it judges images: diffuse evaluate --features' },
  autoencoder: { title: 'an autoencoder of images', use: "kind: 'autoencoder' }) opens it and encodeImages makes" },
  latent: { title: 'a latent diffusion of images', use: "kind: 'latent' }) opens it and decodeLatents makes images" },
};
const names = Object.keys(kinds) as (keyof typeof kinds)[];

const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 20 }), predict: 'v' });
const common = { steps: 1, batchSize: 2, ema: 0.9 };

function zeros(shape: readonly number[], dtype: 'f32' | 'i32' = 'f32'): Dataset {
  const labels = Int32Array.of(0, 1, 0);
  return { shape, dtype, count: 3, fingerprint: '', labels, read: async (_, target) => void target.fill(0) };
}

/** Saves a run of one step of every kind below a folder. */
async function saveAll(folder: string, device: Device): Promise<void> {
  const keep = async (kind: string, training: Training, parts: object): Promise<void> => {
    for await (const _ of training) {
      const options = { ...parts, state: training.state, fingerprint: '', seed: 0 };
      await saveRun(join(folder, kind), options as SaveRunOptions);
    }
  };
  for (const model of [
    mlp({ shape: [2], width: 4, layers: 1 }),
    unet1d({ shape: [8, 2], channels: [4, 8] }),
    videoUNet({ shape: [2, 4, 4, 1], channels: [4, 8], classes: 2 }),
  ]) {
    const data = zeros(model.shape);
    await keep(model.kind, train({ ...common, model, diffusion, data, device }), { model, diffusion });
  }
  const tokens = discreteDiffusion({ tokens: 5, transition: 'absorbing', steps: 9 });
  const letters = tokenUNet({ length: 4, diffusion: tokens, channels: [4] });
  const objective = tokenObjective(tokens);
  const text = train({ ...common, model: letters, objective, data: zeros([4], 'i32'), device });
  await keep('token-unet', text, { model: letters, diffusion: tokens });
  const data = zeros([8, 8, 1]);
  const judge = classifier({ shape: [8, 8, 1], classes: 2, channels: [4] });
  await keep('classifier', train({ ...common, model: judge, objective: classification(), data, device }), {
    model: judge,
  });
  const coder = autoencoder({ shape: [8, 8, 1], channels: [4, 8], latentChannels: 2 });
  const coding = train({ ...common, model: coder, objective: autoencodingObjective(), data, device });
  await keep('autoencoder', coding, { model: coder });
  const unet = new UNet2D({ shape: coder.latentShape, channels: [4], layers: 1 });
  const drawing = train({ ...common, model: unet, diffusion, data: zeros(unet.shape), device });
  await keep('latent', drawing, { model: unet, diffusion, autoencoder: coder, scale: 1.5 });
}

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  using device = await openDevice('cpu', { threads: 1 });
  await saveAll(folder, device);
});

describe.each(names)('the folder of kind %s', (kind) => {
  const { title, use } = kinds[kind];

  test.each([
    ['sample', ['--out=x.png']],
    ['trajectory', ['--out=x.png']],
    ['evaluate', ['--data=photos', '--metrics=bpd']],
  ])('%s says what it is and what would be right', async (command, flags) => {
    const path = join(folder, kind);
    const { code, stdout, stderr } = await run(command, '--model', path, ...flags);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`--model: ${path} holds ${title}; expected a U-Net for images (`);
    expect(stderr).toContain(use);
    expect(stderr.trimEnd()).not.toContain('\n');
  });

  if (kind !== 'classifier') {
    test('evaluate --features wants a classifier', async () => {
      const path = join(folder, kind);
      const { code, stderr } = await run('evaluate', '--data=x', '--generated=y', '--features', path);
      expect(code).toBe(2);
      expect(stderr).toContain(
        `--features: ${path} holds ${title}, of kind '${kind}'; expected a classifier of images`,
      );
    });
  }

  test('inspect shows its facts', async () => {
    const path = join(folder, kind);
    const { code, stdout, stderr } = await run('inspect', path);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.split('\n').slice(0, 2).join('\n')).toMatch(
      new RegExp(`^${path}: ${title} of [\\d x]+, .*\\n[\\d,]+ param`),
    );
    expect(stdout).toContain('with an average of the weights');
    const [facts] = jsonLines((await run('inspect', path, '--json')).stdout);
    expect(facts).toMatchObject({ event: 'model', kind, ema: true });
    const parts = Object.values(facts?.parametersByPart as Record<string, number>);
    expect(parts.reduce((sum, count) => sum + count, 0)).toBe(facts?.parameters);
  });
});

test('inspect tells what belongs to the kind', async () => {
  const facts = async (kind: string): Promise<Record<string, unknown> | undefined> =>
    jsonLines((await run('inspect', join(folder, kind), '--json', '--batch-size=3')).stdout)[0];
  expect(await facts('unet1d')).toMatchObject({
    shape: [8, 2],
    classes: null,
    config: { channels: [4, 8], layers: 1, attention: false },
    predict: 'v',
    schedule: { name: 'cosine', steps: 20 },
    batchSize: 3,
    sampling: { memoryBytes: expect.any(Number), flops: { total: expect.any(Number) } },
    training: { memoryBytes: expect.any(Number), flops: { total: expect.any(Number) } },
  });
  expect(await facts('token-unet')).toMatchObject({ tokens: 5, transition: 'absorbing', steps: 9 });
  expect(await facts('latent')).toMatchObject({
    shape: [4, 4, 2],
    autoencoder: { config: { shape: [8, 8, 1], latentChannels: 2 }, scale: 1.5 },
  });
  expect(await facts('video-unet')).toMatchObject({ classes: 2, config: { shape: [2, 4, 4, 1] } });
  const text = (await run('inspect', join(folder, 'latent'))).stdout;
  expect(text).toMatch(/a latent diffusion of images of 8 x 8 x 1, no classes/);
  expect(text).toMatch(/^latents of 4 x 4 x 2, scaled by 1\.500; an autoencoder of [\d,]+ parameters decodes them$/m);
  expect((await run('inspect', join(folder, 'token-unet'))).stdout).toMatch(
    /^5 kinds of token, which are masked over 9 timesteps \(absorbing\)$/m,
  );
});
