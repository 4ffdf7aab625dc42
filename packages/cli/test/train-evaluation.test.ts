import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bitsPerDimension, loadRun, lossByLevel, openDevice } from '@diffuse/core';
import { openImages, saveImages } from '@diffuse/data';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../src/index.ts';
import { type EvaluationsOptions, runEvaluations } from '../src/run/evaluations.ts';
import { createReport } from '../src/terminal/report.ts';
import { jsonLines, resultOf, run, temporaryFolder, tinyIdx, tinyImages, tinyModel } from './helpers.ts';

let folder: string;
let photos: string;
let others: string;
let idx: { images: string; labels: string };
let judge: string;

const path = (name: string): string => join(folder, name);
const cache = (): readonly string[] => ['--cache-dir', path('cache')];
const small = ['--model-channels=8,12', '--layers=1', '--batch-size=4', '--warmup=1'];

beforeAll(async () => {
  folder = await temporaryFolder();
  photos = await tinyImages(path('photos'));
  others = await tinyImages(path('others'), 30);
  idx = await tinyIdx(folder);
  judge = path('judge');
  const data = ['--data', idx.images, '--labels', idx.labels, '--task=classifier', '--steps=3'];
  expect((await run('train', ...data, '--out', judge, ...small, ...cache(), '--quiet')).code).toBe(0);
});

const train = (out: string, ...flags: string[]): ReturnType<typeof run> =>
  run('train', '--out', path(out), '--data', photos, ...cache(), ...tinyModel, '--ema=0.9', '--timesteps=40', ...flags);

interface FoundLoss {
  readonly loss: number;
  readonly bpd: number;
  readonly levels: readonly { readonly t: number }[];
}

const metricsOf = async (out: string) => jsonLines(await readFile(join(path(out), 'metrics.jsonl'), 'utf8'));
const evaluationsOf = async (out: string) => (await metricsOf(out)).filter(({ evaluation }) => evaluation);

describe('train --eval-every', () => {
  test('changes no bit of the training, and tells what it finds after the line of its step', async () => {
    expect((await train('plain', '--steps=12', '--checkpoint-every=5')).code).toBe(0);
    const flags = ['--steps=12', '--checkpoint-every=5', '--eval-every=4', '--eval-data', others];
    const { code, stderr } = await train('judged', ...flags);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^every 4 steps: loss on others$/m);
    expect(stderr).toMatch(/^step 4: evaluation: loss \d\.\d+ \(after [\d.]+ s\)$/m);
    const [{ 'metrics.jsonl': _, ...plain }, { 'metrics.jsonl': __, ...judged }] = [
      await resultOf(path('plain')),
      await resultOf(path('judged')),
    ];
    expect(judged).toEqual(plain);
    const lines = await metricsOf('judged');
    expect(lines.filter(({ evaluation }) => !evaluation)).toEqual(await metricsOf('plain'));
    const places = lines.flatMap((line, i) => (line.evaluation ? [[line.step, lines[i - 1]?.step]] : []));
    expect(places).toEqual([
      [4, 4],
      [8, 8],
      [12, 12],
    ]);
  });

  test('measures what the average of the weights at that step is worth, the same each time', async () => {
    const flags = ['--eval-metrics=loss,bpd', '--eval-data', others, '--eval-images=20'];
    expect((await train('twelve', '--steps=12', '--eval-every=4', ...flags, '--threads=1')).code).toBe(0);
    expect((await train('eight', '--steps=8', '--eval-every=8', ...flags, '--threads=2')).code).toBe(0);
    const [, second] = await evaluationsOf('twelve');
    expect(await evaluationsOf('eight')).toEqual([second]);
    const found = (second as Record<string, unknown>).evaluation as FoundLoss;
    expect(found.levels.map(({ t }) => t)).toEqual([2, 6, 10, 14, 18, 22, 26, 30, 34, 38]);
    // What the library finds in the run that ended there, with the same images and noise.
    using device = await openDevice('cpu');
    using data = await openImages(others, { cacheDirectory: path('cache') });
    const options = { ...(await loadRun(path('eight'), { device })), data, device, count: 20, seed: 0 };
    const { levels } = await lossByLevel({ ...options, timesteps: found.levels.map(({ t }) => t) });
    const mean = levels.reduce((sum, { prediction }) => sum + prediction.mean / 10, 0);
    expect(found.loss).toBeCloseTo(mean, 6);
    expect(found.bpd).toBeCloseTo((await bitsPerDimension({ ...options, timesteps: 20 })).total.mean, 6);
  });

  test('draws images and compares them, in the eyes of a classifier', async () => {
    const flags = ['--eval-every=2', '--eval-features', judge, '--eval-metrics=fid,kid,is,pr', '--eval-samples=12'];
    const { code, stdout, stderr } = await train('seen', '--steps=4', ...flags, '--json');
    expect([code, stderr.includes('no evaluation')]).toEqual([0, false]);
    const events = jsonLines(stdout).filter(({ event }) => event === 'evaluation');
    expect(events.map(({ step }) => step)).toEqual([2, 4]);
    for (const event of events) {
      const figures = ['fid', 'kid', 'is', 'precision', 'recall', 'density', 'coverage'];
      expect(Object.keys(event)).toEqual(['event', 'step', ...figures]);
    }
    const usual = await train('usual', '--steps=2', '--eval-every=2', '--eval-features', judge, '--eval-samples=4');
    expect(usual.stderr).toMatch(/^step 2: evaluation: loss [\d.]+, FID [\d.]+ \(after/m);
  });

  test('a conditional model is judged with the labels of the data, a classifier by its accuracy', async () => {
    const data = ['--data', idx.images, '--labels', idx.labels, ...cache()];
    const own = ['--eval-data', idx.images, '--eval-labels', idx.labels, '--eval-every=2', '--steps=2'];
    const conditional = await run('train', '--out', path('told'), ...data, ...own, ...tinyModel);
    expect([conditional.code, conditional.stderr]).toEqual([0, expect.stringMatching(/^step 2: evaluation: loss/m)]);
    const task = ['--task=classifier', ...small];
    const classifier = await run('train', '--out', path('own judge'), ...data, ...own, ...task);
    expect(classifier.code).toBe(0);
    const [{ evaluation } = {}] = await evaluationsOf('own judge');
    expect(Object.keys(evaluation as object)).toEqual(['accuracy']);
  });

  test('killed after any checkpoint, the rest of the run writes the same metrics', async () => {
    const flags = ['--steps=9', '--checkpoint-every=3', '--eval-every=3', '--eval-images=8'];
    expect((await train('whole', ...flags)).code).toBe(0);
    const metrics = await readFile(join(path('whole'), 'metrics.jsonl'), 'utf8');
    expect((await train('early', ...flags.map((flag) => flag.replace('steps=9', 'steps=3')))).code).toBe(0);
    const upToStep3 = metrics.slice(0, metrics.indexOf('{"step":3,"evaluation"'));
    const evaluated = metrics.slice(0, metrics.indexOf('{"step":4,'));
    for (const [name, left] of Object.entries({ upToStep3, evaluated, beyond: metrics.slice(0, -40) })) {
      await cp(path('whole'), path(name), { recursive: true });
      await cp(join(path('early'), 'state.safetensors'), join(path(name), 'state.safetensors'));
      await writeFile(join(path(name), 'metrics.jsonl'), left);
      expect((await run('train', '--resume', '--out', path(name))).code).toBe(0);
      expect(await resultOf(path(name)), name).toEqual(await resultOf(path('whole')));
    }
    // Killed between the last checkpoint and its evaluation.
    await writeFile(join(path('whole'), 'metrics.jsonl'), metrics.slice(0, metrics.indexOf('{"step":9,"evaluation"')));
    expect((await run('train', '--resume', '--out', path('whole'))).stderr).toMatch(/^step 9: evaluation: loss/m);
    expect(await readFile(join(path('whole'), 'metrics.jsonl'), 'utf8')).toBe(metrics);
  });

  test('is given up when the run is stopped', async () => {
    const flags = ['--data', photos, ...cache(), ...tinyModel, '--steps=400', '--eval-every=2', '--eval-metrics=bpd'];
    let stderr = '';
    const code = await runCli(['train', '--out', path('stopped'), ...flags, '--json'], {
      stdout: { write: (line) => line.includes('"step":3,"loss"') && process.emit('SIGINT', 'SIGINT') },
      stderr: { write: (text) => (stderr += text) },
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(/^step 2: evaluation given up\nstep 3: checkpoint/m);
    expect((await metricsOf('stopped')).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  test('plot loss draws it beside the loss of the steps', async () => {
    const out = path('loss.svg');
    expect((await run('plot', 'loss', '--model', path('judged'), '--out', out)).code).toBe(0);
    expect(await readFile(out, 'utf8')).toContain('>evaluation<');
  });
});

describe('refuses', () => {
  beforeAll(async () => {
    await mkdir(path('kinds'));
    for (const name of ['cat', 'dog']) await tinyImages(join(path('kinds'), name), 4);
    for (const name of ['cat', 'cow']) await tinyImages(join(path('other kinds'), name), 4);
    await saveImages(path('colour'), { data: new Uint8Array(4 * 192), shape: [4, 8, 8, 3] });
  });

  test.each<[flags: string, message: RegExp]>([
    ['--eval-metrics=loss', /^--eval-metrics needs --eval-every N, the steps between evaluations$/],
    ['--eval-every=-1', /^--eval-every must be a whole number, at least 0; got -1$/],
    ['--eval-every=2 --eval-metrics=los', /^--eval-metrics must be one or several of loss, bpd, fid, .*; got los$/],
    [
      '--eval-every=2 --eval-metrics=fid',
      /^--eval-metrics fid needs --eval-features: the folder of a classifier or an/,
    ],
    ['--eval-every=2 --eval-metrics=accuracy', /^--eval-metrics accuracy is not for --task diffusion$/],
    ['--eval-every=2 --eval-metrics=loss --eval-features=JUDGE', /^--eval-features is for fid, kid, is, pr, none of/],
    ['--eval-every=2 --eval-labels=PHOTOS', /^--eval-labels are those of --eval-data, which is missing$/],
    ['--eval-every=2 --eval-features=NOWHERE', /^--eval-features: there is no file or folder .*nowhere$/],
    ['--eval-every=2 --eval-data=NOWHERE', /cannot open .*nowhere/],
    [
      '--data=KINDS --classes=folders --eval-every=2 --eval-data=OTHERKINDS',
      /^--eval-data must have the classes of --data, cat, dog; it has cat, cow$/,
    ],
  ])('%s', async (flags, message) => {
    const paths: Record<string, string> = {
      JUDGE: judge,
      PHOTOS: photos,
      NOWHERE: path('nowhere'),
      KINDS: path('kinds'),
      OTHERKINDS: path('other kinds'),
    };
    const given = flags.split(' ').map((flag) => flag.replace(/[A-Z]{4,}$/, (name) => paths[name] ?? name));
    const { code, stdout, stderr } = await train('refused', '--quiet', '--steps=1', ...given);
    expect(stderr).toMatch(/^diffuse: [^\n]+\n$/);
    expect(stderr.slice('diffuse: '.length).trimEnd()).toMatch(message);
    expect([stdout, code]).toEqual(['', 2]);
  });
});

describe('runEvaluations', () => {
  /** Evaluations that end when they are told to, and all that they leave behind. */
  function rig() {
    const log: string[] = [];
    const ends: { resolve(figures: object): void; reject(error: Error): void }[] = [];
    const controller = new AbortController();
    const options: EvaluationsOptions = {
      evaluation: {
        evaluate: (signal) =>
          new Promise((resolve, reject) => {
            log.push('begun');
            ends.push({ resolve: resolve as (figures: object) => void, reject });
            signal.addEventListener('abort', () => reject(new Error('cancelled')));
          }),
        close: async () => undefined,
      },
      metrics: {
        evaluated: false,
        add: () => undefined,
        reserve: () => (line) => log.push(JSON.stringify(line ?? null)),
        flush: async () => undefined,
        close: async () => undefined,
      },
      report: createReport({
        stdout: { write: () => true },
        stderr: { write: (text) => log.push(text.replace(/after [\d.]+ s/, 'after a while').trimEnd()) },
        quiet: false,
        json: false,
      }),
      signal: controller.signal,
    };
    return { log, ends, controller, evaluations: runEvaluations(options) };
  }

  test('one that fails is a warning, and the next one follows', async () => {
    const { log, ends, evaluations } = rig();
    await evaluations.begin(5);
    expect(evaluations.underWay).toBe(5);
    ends[0]?.reject(new Error('too little memory'));
    await evaluations.begin(10);
    ends[1]?.resolve({ loss: 0.5 });
    await evaluations.finish();
    expect(evaluations.underWay).toBeUndefined();
    expect(log).toEqual([
      'begun',
      'null',
      'step 5: no evaluation: too little memory',
      'begun',
      '{"step":10,"evaluation":{"loss":0.5}}',
      'step 10: evaluation: loss 0.5000 (after a while)',
    ]);
  });

  test('a checkpoint of a later step waits for it, one of the same step does not', async () => {
    const { ends, evaluations } = rig();
    await evaluations.begin(5);
    await evaluations.settled(5);
    let settled = false;
    const later = evaluations.settled(6).then(() => {
      settled = true;
    });
    await new Promise(setImmediate);
    expect(settled).toBe(false);
    ends[0]?.resolve({});
    await later;
  });

  test('given up by the signal or by its owner; then none begins', async () => {
    for (const way of ['signal', 'owner']) {
      const { log, controller, evaluations } = rig();
      await evaluations.begin(5);
      if (way === 'signal') controller.abort();
      await (way === 'signal' ? evaluations.finish() : evaluations.cancel());
      await evaluations.begin(10);
      expect(log, way).toEqual(['begun', 'null', 'step 5: evaluation given up']);
    }
  });
});
