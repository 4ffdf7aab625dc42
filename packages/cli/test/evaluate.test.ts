import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  adamW,
  classification,
  classifier,
  loadRun,
  type OnnxRuntime,
  openDevice,
  saveRun,
  train,
} from '@diffuse/core';
import { imageFolder, openImages } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadOnnxRuntime, openFeatures } from '../src/evaluate/open-features.ts';
import { jsonLines, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;
let others: string;
let plain: string;
let judge: string;
let conditional: string;
let cache: readonly string[];

beforeAll(async () => {
  folder = await temporaryFolder();
  plain = join(folder, 'plain');
  judge = join(folder, 'judge');
  cache = ['--cache-dir', join(folder, 'cache')];
  photos = await tinyImages(join(folder, 'photos'));
  others = await tinyImages(join(folder, 'others'), 40);
  const ema = ['--ema=0.5', '--timesteps=40', '--steps=6', '--quiet'];
  expect((await run('train', '--data', photos, '--out', plain, ...tinyModel, ...ema, ...cache)).code).toBe(0);
  await trainJudge();
  conditional = join(folder, 'conditional');
  const digits = ['--data', join(folder, 'images.idx3-ubyte'), '--labels', join(folder, 'labels.idx1-ubyte')];
  expect((await run('train', ...digits, '--out', conditional, ...tinyModel, ...ema, ...cache)).code).toBe(0);
  await writeFile(join(folder, 'net.onnx'), 'not looked at');
  await writeFile(join(folder, 'bad.onnx'), '');
  await writeFile(join(folder, 'bad.onnx.json'), '{ "layuot": "nhwc" }');
  await writeFile(join(folder, 'torn.onnx'), '');
  await writeFile(join(folder, 'torn.onnx.json'), '{ "layout": ');
  await mkdir(join(folder, 'empty'));
});

/** A classifier that has seen three classes for a moment. */
async function trainJudge(): Promise<void> {
  const { images, labels } = await tinyIdx(folder);
  using data = await openImages(images, { labels, cacheDirectory: join(folder, 'cache') });
  using device = await openDevice('cpu');
  const model = classifier({ shape: [8, 8, 1], classes: 3, channels: [8, 12] });
  const optimizer = adamW({ learningRate: 3e-3 });
  const training = train({
    model,
    objective: classification(),
    data,
    device,
    steps: 5,
    batchSize: 8,
    optimizer,
    seed: 1,
  });
  for await (const { step } of training) {
    if (step < 5) continue;
    await saveRun(judge, { model, state: training.state, fingerprint: data.fingerprint, seed: 1 });
  }
}

const evaluate = (...flags: string[]) => run('evaluate', ...flags, ...cache);

describe('evaluate', () => {
  test('images of a folder, in the eyes of a classifier', async () => {
    const { code, stdout, stderr } = await evaluate('--data', photos, '--generated', others, '--features', judge);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^images +40 generated, 24 real; 12 features of judge$/m);
    for (const name of ['FID', 'KID', 'IS', 'precision', 'recall', 'density', 'coverage']) {
      expect(stdout).toMatch(new RegExp(`^${name} +-?[\\d.e-]+`, 'm'));
    }
    expect(stderr).not.toContain('far too high');
  });

  test('the data against themselves are as good as can be; --json says it all', async () => {
    const flags = ['--data', photos, '--generated', photos, '--features', judge, '--json'];
    const { stdout } = await evaluate(...flags, '--metrics=fid,pr');
    const lines = jsonLines(stdout);
    const distances = lines.find(({ event }) => event === 'distances');
    expect(distances).toMatchObject({
      network: 'judge',
      dimensions: 12,
      realCount: 24,
      generatedCount: 24,
      precisionRecall: { precision: 1, recall: 1, coverage: 1, neighbours: 3 },
    });
    expect(distances?.frechetDistance).toBeLessThan(1e-9);
    expect(Object.keys(distances ?? {})).not.toContain('kernelDistance');
    expect(lines.at(-1)).toEqual({ event: 'done' });
    expect(lines.filter(({ phase }) => phase === 'generated').at(-1)).toMatchObject({ done: 24, total: 24 });
  });

  test('samples of a model are those of `diffuse sample`', async () => {
    const sampling = ['-n=16', '--steps=3', '--seed=5'];
    const out = join(folder, 'drawn');
    expect((await run('sample', '--model', plain, '--out', out, ...sampling)).code).toBe(0);
    const compare = ['--data', photos, '--features', judge, '--json', '--metrics=fid,is'];
    const [drawn, saved] = await Promise.all([
      evaluate(...compare, '--model', plain, ...sampling),
      evaluate(...compare, '--generated', out),
    ]);
    const figures = (text: string) => jsonLines(text).find(({ event }) => event === 'distances');
    expect(figures(drawn.stdout)).toEqual(figures(saved.stdout));
    expect(jsonLines(drawn.stdout).some(({ phase }) => phase === 'sampling')).toBe(true);
    expect(figures(drawn.stdout)?.generatedCount).toBe(16);
  });

  test('too few images for the features are said, also with --quiet', async () => {
    const flags = ['--model', plain, '-n=8', '--steps=2', '--metrics=fid', '--quiet'];
    const { stderr } = await evaluate('--data', photos, '--features', judge, ...flags);
    expect(stderr).toMatch(/^FID of 8 vectors of 12 dimensions is far too high: [^\n]+\n$/);
  });

  test('without features: the bound and the loss of the model', async () => {
    const { code, stdout } = await evaluate('--model', plain, '--data', photos, '--images=8', '--timesteps=4');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^bits\/dim +at most [\d.]+ ± [\d.e-]+, over 8 images$/m);
    for (const part of ['prior', 'diffusion', 'reconstruction'])
      expect(stdout).toMatch(new RegExp(`^ +${part} +[\\d.]+`, 'm'));
    expect(stdout).toMatch(/^loss over 8 images; floor: the least loss of eps that .* on 24 of these images$/m);
    expect(stdout).toMatch(/^t +sigma +loss of eps +floor +gap +loss of x0 +loss in training$/m);
    const number = '-?[\\d.]+(?:e[+-]?\\d+)?';
    const row = new RegExp(
      `^\\d+ +${number} +${number} +${number} +${number} ± ${number} +${number} +${number}$`,
      'gm',
    );
    expect(stdout.match(row)).toHaveLength(4);
  });

  test('a model that is told classes wants those of the data', async () => {
    const flags = ['--model', conditional, '--data', join(folder, 'images.idx3-ubyte'), '--images=4', '--timesteps=2'];
    const { code, stderr } = await evaluate(...flags, '--quiet');
    expect(stderr).toMatch(/^diffuse: the model is told a class; say those of the images by --labels FILE or/);
    expect(code).toBe(2);
    expect((await evaluate(...flags, '--labels', join(folder, 'labels.idx1-ubyte'))).code).toBe(0);
  });

  test('--json of the likelihoods', async () => {
    const flags = ['--images=4', '--timesteps=3', '--metrics=ode,bpd,loss', '--json'];
    const lines = jsonLines((await evaluate('--model', plain, '--data', photos, ...flags)).stdout);
    const only = (name: string) => lines.find(({ event }) => event === name);
    expect(only('bits-per-dimension')).toMatchObject({ count: 4, dimensions: 64 });
    expect(only('ode-likelihood')?.perSample).toHaveLength(4);
    expect(only('loss-by-level')?.levels).toHaveLength(3);
  });
});

describe('ONNX features', () => {
  /** A runtime that sees the brightness and the first pixel. */
  const runtime: OnnxRuntime = {
    Tensor: class {
      readonly data: Float32Array;
      readonly dims: readonly number[];
      constructor(_: 'float32', data: Float32Array, dims: readonly number[]) {
        [this.data, this.dims] = [data, dims];
      }
    },
    InferenceSession: {
      create: async () => ({
        inputNames: ['x'],
        outputNames: ['pool'],
        inputMetadata: [{ shape: ['n', 1, 8, 8] }],
        async run(feeds) {
          const { x } = feeds as Record<string, { data: Float32Array; dims: readonly number[] }>;
          const { data = new Float32Array(), dims: [n = 0] = [] } = x ?? {};
          const sums = (i: number) => data.subarray(64 * i, 64 * i + 64).reduce((sum, value) => sum + value, 0) / 64;
          const pool = Float32Array.from({ length: 2 * n }, (_, i) => (i % 2 ? (data[32 * i - 32] ?? 0) : sums(i / 2)));
          return { pool: { data: pool, dims: [n, 2] } };
        },
      }),
    },
  };

  test('FILE.onnx.json says how the network wants its images', async () => {
    using device = await openDevice('cpu');
    using images = await imageFolder(photos, { cacheDirectory: join(folder, 'cache') });
    const path = join(folder, 'net.onnx');
    const bytes = new Uint8Array(64);
    await images.read(Int32Array.of(3), bytes);
    const look = async () => {
      const { network, close } = await openFeatures(path, { device, loadRuntime: async () => runtime });
      expect(network).toMatchObject({ name: 'net.onnx', dimensions: 2 });
      const { features } = await network.features(bytes, [1, 8, 8, 1]);
      await close();
      return features[0] as number;
    };
    const mean = bytes.reduce((sum, byte) => sum + byte, 0) / 64 / 255;
    expect(await look()).toBeCloseTo(mean, 6);
    await writeFile(`${path}.json`, '{ "range": [-1, 1] }');
    expect(await look()).toBeCloseTo(2 * mean - 1, 6);
  });

  test('without the runtime: how to get it', async () => {
    await expect(loadOnnxRuntime()).rejects.toThrow(/needs the package onnxruntime-node.*npm install onnxruntime-node/);
  });
});

describe('refuses', () => {
  test.each([
    ['--data PHOTOS --features JUDGE', /^--model is missing: a folder; or --generated, a folder of images to judge$/],
    ['--data PHOTOS', /^--model is missing: a folder$/],
    ['--data PHOTOS --model PLAIN --metrics fid', /^--metrics fid needs --features: the folder of a classifier or an/],
    [
      '--data PHOTOS --model PLAIN --metrics fdi',
      /^--metrics must be one or several of fid, kid, is, pr, bpd, ode, loss/,
    ],
    [
      '--data PHOTOS --model PLAIN --metrics bpd --features JUDGE',
      /^--features is for fid, kid, is, pr, none of which/,
    ],
    ['--data PHOTOS --generated PHOTOS', /^--generated brings images to compare; it needs --features$/],
    ['--data PHOTOS --generated PHOTOS --features JUDGE -n 4', /^--samples says how to draw images, but --generated/],
    ['--data PHOTOS --generated PHOTOS --features JUDGE --metrics bpd,fid', /^--model is missing: a folder$/],
    ['--data PHOTOS --model PLAIN --features NONE', /^--features: there is no file or folder .*none$/],
    ['--data PHOTOS --model PLAIN --features NONE.onnx', /^--features: there is no file or folder .*none.onnx$/],
    [
      '--data PHOTOS --model PLAIN --metrics bpd,loss --sampler heun --guidance 7',
      /^--sampler says how to draw images, but --metrics bpd,loss needs none; leave it out$/,
    ],
    ['--data PHOTOS --model PLAIN -n 100', /^--samples says how to draw images, but --metrics bpd,loss needs none/],
    [
      '--data PHOTOS --model PLAIN --metrics bpd,fid --features JUDGE --sampler ddpm --variance learned-range --quiet',
      /^--variance learned-range needs a model that predicts its variance; this one predicts none$/,
    ],
    [
      '--data PHOTOS --model PLAIN --metrics bpd,fid --features JUDGE --steps 5000',
      /^--steps must be from 1 to 40, the model's timesteps; got 5000$/,
    ],
    ['--data PHOTOS --model PLAIN --features EMPTY', /^--features: .*empty/],
    [
      '--data PHOTOS --model PLAIN --features PHOTOS/0000.png',
      /0000.png must be the folder of a classifier or an .onnx/,
    ],
    ['--data PHOTOS --model PLAIN --features BAD', /bad.onnx.json: there is no option 'layuot'; did you mean layout\?/],
    ['--data PHOTOS --model PLAIN --features TORN', /torn.onnx.json is not valid JSON/],
    [
      '--data PHOTOS --generated PHOTOS --features JUDGE --churn 4',
      /^--churn says how to draw images, but --generated/,
    ],
    ['--data PHOTOS --model PLAIN --floor-images 25', /^--floor-images must be 0, or at least the 24 images that .*25/],
    ['--data PHOTOS --model PLAIN --images 8 --floor-images 7', /^--floor-images must be 0, or at least the 8 .*got 7/],
    ['--data NONE --model PLAIN --features JUDGE', /cannot open .*none/],
    ['--data PHOTOS --model NONE --features JUDGE', /^--model: .*none/],
    ['--data PHOTOS --model PLAIN --features JUDGE -n 3', /^-n must be a whole number, at least 4; got 3/],
  ])('%s', async (text, message) => {
    const paths: Record<string, string> = {
      PHOTOS: photos,
      JUDGE: judge,
      PLAIN: plain,
      NONE: join(folder, 'none'),
      EMPTY: join(folder, 'empty'),
      BAD: join(folder, 'bad.onnx'),
      TORN: join(folder, 'torn.onnx'),
    };
    const args = text.split(' ').map((part) => part.replace(/^[A-Z]+/, (name) => paths[name] ?? name));
    const { code, stdout, stderr } = await evaluate(...args, '--quiet');
    expect(stderr).toMatch(/^diffuse: [^\n]+\n$/);
    expect(stderr.slice('diffuse: '.length).trimEnd()).toMatch(message);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  test('a classifier for images of another size', async () => {
    using device = await openDevice('cpu');
    const { model } = await loadRun(judge, { device, kind: 'classifier' });
    expect(model.shape).toEqual([8, 8, 1]);
    const { saveImages } = await import('@diffuse/data');
    const large = join(folder, 'large');
    await saveImages(large, { data: new Uint8Array(6 * 256), shape: [6, 16, 16, 1] });
    const { code, stderr } = await evaluate('--data', large, '--generated', large, '--features', judge, '--quiet');
    expect(stderr).toMatch(/the classifier 'judge' looks at images of 8 x 8 x 1; these are 16 x 16 x 1/);
    expect(code).toBe(2);
  });
});
