import { cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadRun, openDevice } from '@diffuse/core';
import { beforeAll, describe, expect, test } from 'vitest';
import { contentOf, jsonLines, resultOf, run, temporaryFolder, tinyIdx, tinyModel } from './helpers.ts';

let folder: string;
let images: string;
let labels: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  ({ images, labels } = await tinyIdx(folder));
});

const data = (): readonly string[] => ['--data', images, '--labels', labels];
const small: readonly string[] = ['--model-channels=8,16', '--batch-size=4', '--warmup=2'];

const train = (out: string, ...flags: readonly string[]): ReturnType<typeof run> =>
  run('train', '--task=classifier', '--out', join(folder, out), ...data(), ...small, ...flags);

describe('train --task classifier', () => {
  test('leaves a run whose weights load again, and reports the accuracy of each step', async () => {
    const { code, stdout } = await train('whole', '--steps=8', '--json', '--quiet');
    expect(code).toBe(0);
    const steps = jsonLines(stdout).filter(({ event }) => event === 'step');
    expect(steps).toHaveLength(8);
    for (const { accuracy } of steps) expect([0, 0.25, 0.5, 0.75, 1]).toContain(accuracy);
    expect([...(await contentOf(join(folder, 'whole'))).keys()]).toEqual([
      'classes.json',
      'config.yaml',
      'metrics.jsonl',
      'model/config.json',
      'model/model.safetensors',
      'model_ema/config.json',
      'model_ema/model.safetensors',
      'model_index.json',
      'state.safetensors',
    ]);
    const [first] = jsonLines(await readFile(join(folder, 'whole/metrics.jsonl'), 'utf8'));
    expect(Object.keys(first ?? {})).toEqual(['step', 'loss', 'gradientNorm', 'learningRate', 'accuracy']);
    using device = await openDevice('cpu', { threads: 1 });
    const { model, classNames } = await loadRun(join(folder, 'whole'), { device, kind: 'classifier' });
    expect(model.config).toMatchObject({ shape: [8, 8, 1], classes: 3, channels: [8, 16], timeConditioned: false });
    expect(classNames).toEqual(['0', '1', '2']);
  });

  test('the same seed gives the same bytes, with any number of threads and interrupted or not', async () => {
    expect((await train('again', '--steps=8', '--threads=1')).code).toBe(0);
    expect(await resultOf(join(folder, 'again'))).toEqual(await resultOf(join(folder, 'whole')));
    // As if the process had been killed behind the checkpoint of step 3.
    const out = join(folder, 'parts');
    expect((await train('three', '--steps=3', '--lr-schedule=constant')).code).toBe(0);
    expect((await train('parts', '--steps=8', '--lr-schedule=constant')).code).toBe(0);
    const uninterrupted = await resultOf(out);
    await cp(join(folder, 'three/state.safetensors'), join(out, 'state.safetensors'));
    expect((await run('train', '--resume', '--out', out)).code).toBe(0);
    expect(await resultOf(out)).toEqual(uninterrupted);
  });

  test('--noisy makes one that is told the noise level', async () => {
    expect((await train('noisy', '--steps=2', '--noisy')).code).toBe(0);
    const config: unknown = JSON.parse(await readFile(join(folder, 'noisy/model/config.json'), 'utf8'));
    expect(config).toMatchObject({ _class_name: 'DiffuseClassifier', time_conditioned: true });
  });

  test('is refused where a classifier is already', async () => {
    for (const name of ['model/config.json', 'classifier.safetensors']) {
      const taken = join(folder, 'taken', name);
      await cp(join(folder, 'whole/model/config.json'), taken);
      const { code, stderr } = await train('taken', '--steps=1');
      expect(stderr).toMatch(/taken holds (model|classifier\.safetensors) already, which a run would replace/);
      expect(code).toBe(2);
      await rm(join(folder, 'taken'), { recursive: true });
    }
  });

  test.each<[string, readonly string[], RegExp]>([
    ['without labels', ['--task=classifier'], /--task classifier learns from labels: give --labels FILE/],
    ['with --classes none', ['--task=classifier', '--classes=none'], /--task classifier learns from labels/],
    ['with attention', ['--task=classifier', '--classes=folders', '--attention=4'], /a classifier has no attention/],
    ['with dropped labels', ['--task=classifier', '--classes=folders', '--drop-class=0.1'], /needs every label/],
    ['a diffusion model that is --noisy', ['--noisy'], /--noisy goes with --task classifier/],
    [
      'dropped labels without labels',
      ['--drop-class=0.1'],
      /--drop-class needs labels to leave out: give --labels FILE/,
    ],
    ['a share of 1', ['--drop-class=1'], /--drop-class must be a number from 0 to below 1; got 1/],
  ])('refuses: %s', async (_, flags, message) => {
    const { code, stderr } = await run('train', '--data', images, '--out', join(folder, 'never'), ...flags);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
  });
});

test('--drop-class makes a model with a null class, which is none of the classes to sample', async () => {
  const out = join(folder, 'guided');
  expect((await run('train', ...data(), ...tinyModel, '--steps=2', '--drop-class=0.5', '--out', out)).code).toBe(0);
  expect(JSON.parse(await readFile(join(out, 'classes.json'), 'utf8'))).toEqual(['0', '1', '2']);
  const config: unknown = JSON.parse(await readFile(join(out, 'unet/config.json'), 'utf8'));
  expect(config).toMatchObject({ num_class_embeds: 4, _null_class: true });
  const sample = (label: string): ReturnType<typeof run> =>
    run('sample', '--model', out, '--out', join(folder, 'x.png'), '-n=1', '--steps=2', '--class', label);
  expect((await sample('2')).code).toBe(0);
  expect(await sample('3')).toMatchObject({ code: 2, stderr: expect.stringContaining('3') });
});
