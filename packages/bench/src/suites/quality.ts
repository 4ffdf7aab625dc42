import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import {
  classifierAccuracy,
  classifierFeatures,
  classify,
  DiffuseError,
  ddim,
  evaluateImages,
  loadRun,
  openClassifier,
  openDevice,
  type Samples,
  sample,
} from '@diffuse/core';
import { type ImageDataset, openImages, saveImageGrid } from '@diffuse/data';
import { mnistFile } from '@diffuse/testkit';
import { runCommand } from '../peers/command.ts';
import type { Precision } from '../precision.ts';
import { compiledFile, repositoryRoot } from '../repository.ts';
import type { CaseResult, Figure } from '../result.ts';
import { timing } from '../statistics.ts';
import type { BenchContext, Suite } from './suite.ts';

// The Fréchet distance when it was recorded (README.md). On the same instruction set a run gives the same bits; on another, rounding
// leads to another model of the same kind, which the margin leaves room for.
const recorded = { frechetDistance: 1.604, margin: 1.25 };

/** The judge of the samples must tell the test images right in so many cases. */
const leastAccuracy = 0.985;
/** Share of samples of a class that the judge must take for that class. */
const leastAsked = 0.97;

/** Steps of training: ten minutes on two cores of 2023. Steps, not minutes, so that every machine trains the same model. */
const trainingSteps = 6000;
const samplingSteps = 50;
const gridImages = 100;

/** Of the labels, so many are left out in training; `guidance` then pushes away from the prediction without a class. */
const dropClass = 0.1;
const guidance = 2;

/** How good the models are that the `mnist` preset trains in ten minutes. It takes half an hour and is run by name only. */
export const qualitySuite: Suite = {
  name: 'quality',
  cpuOnly: true,
  description: 'samples of models trained for ten minutes on MNIST: Fréchet distance, classes as asked (30 minutes)',
  byNameOnly: true,
  startsCommand: true,
  cases(context) {
    const work = openWork(context);
    return [
      { name: 'judge, test accuracy', measure: async () => (await work()).judge },
      { name: 'unconditional, FID', measure: async () => unconditional(await work()) },
      { name: 'with classes, as asked', measure: async () => conditional(await work()) },
    ];
  },
};

/** What the cases share: a fresh folder, and the classifier that judges. */
interface Work {
  readonly folder: string;
  readonly judge: CaseResult;
  readonly threads: number;
  readonly precision: Precision;
  readonly quick: boolean;
}

/** The work of a run, made when the first case asks for it. */
function openWork({ device: { threads }, precision, quick }: BenchContext): () => Promise<Work> {
  let work: Promise<Work> | undefined;
  return () => {
    work ??= (async () => {
      const folder = freshFolder();
      return { folder, threads, precision, quick, judge: await trainJudge({ folder, threads, quick }) };
    })();
    return work;
  };
}

/** `runs/quality`, or `runs/quality-2` and so on: what an earlier run trained is left alone, and nothing of it is used. */
function freshFolder(): string {
  for (let number = 1; ; number++) {
    const path = join(repositoryRoot, 'runs', number === 1 ? 'quality' : `quality-${number}`);
    if (!existsSync(path)) return path;
  }
}

/** The judge is a float32 network in every run, so that it is the same. */
async function trainJudge({ folder, threads, quick }: Omit<Work, 'judge' | 'precision'>): Promise<CaseResult> {
  const path = join(folder, 'classifier');
  const steps = quick ? ['--steps', '100'] : [];
  const ms = await train(path, ['--task', 'classifier', ...(await labelled()), ...steps], threads);
  using device = await openDevice('cpu', { threads });
  using test = await testImages();
  const { model } = await loadRun(path, { device, kind: 'classifier' });
  const value = await classifierAccuracy(model, device, test);
  return row(
    { name: 'judge, test accuracy', ms, precision: 'fp32' },
    { name: 'accuracy', value, better: 'higher' },
    quick ? undefined : leastAccuracy,
  );
}

/** Fréchet distance between 10,000 samples and the test images, in the features of the judge. */
async function unconditional({ folder, threads, precision, quick }: Work): Promise<CaseResult> {
  const path = join(folder, 'unconditional');
  const ms = await train(
    path,
    [...diffusionFlags(quick, precision), '--data', await mnistFile('train-images-idx3-ubyte')],
    threads,
  );
  using device = await openDevice('cpu', { threads });
  using test = await testImages();
  const generated = await draw({ threads, precision }, path, { count: quick ? 200 : test.count });
  const { model } = await loadRun(join(folder, 'classifier'), { device, kind: 'classifier' });
  using session = openClassifier(model, device);
  const { frechetDistance } = await evaluateImages({
    real: test,
    generated: { data: generated.images, shape: generated.shape as readonly [number, number, number, number] },
    network: classifierFeatures({ name: 'the judge', model, session }),
    metrics: ['fid'],
  });
  const figure = { name: 'FID', value: frechetDistance as number, better: 'lower' } as const;
  const limit = quick ? undefined : recorded.frechetDistance * recorded.margin;
  return row({ name: 'unconditional, FID', ms, precision }, figure, limit);
}

/** Share of guided samples that the judge takes for what they were asked to be. */
async function conditional({ folder, threads, precision, quick }: Work): Promise<CaseResult> {
  const path = join(folder, 'conditional');
  const flags = [...diffusionFlags(quick, precision), '--drop-class', String(dropClass), ...(await labelled())];
  const ms = await train(path, flags, threads);
  using device = await openDevice('cpu', { threads });
  const count = quick ? 200 : 2000;
  const labels = Int32Array.from({ length: count }, (_, i) => i % 10);
  const { images } = await draw({ threads, precision }, path, { count, labels, guidance });
  const { model } = await loadRun(join(folder, 'classifier'), { device, kind: 'classifier' });
  const said = await classify(model, device, images);
  const value = labels.filter((label, i) => said.labels[i] === label).length / count;
  return row(
    { name: 'with classes, as asked', ms, precision },
    { name: 'as asked', value, better: 'higher' },
    quick ? undefined : leastAsked,
  );
}

function diffusionFlags(quick: boolean, precision: Precision): string[] {
  const steps = String(quick ? 100 : trainingSteps);
  return ['--preset', 'mnist', '--checkpoint-every', '0', '--steps', steps, '--precision', precision];
}

async function labelled(): Promise<string[]> {
  return [
    ...['--data', await mnistFile('train-images-idx3-ubyte')],
    ...['--labels', await mnistFile('train-labels-idx1-ubyte')],
  ];
}

async function testImages(): Promise<ImageDataset> {
  return openImages(await mnistFile('t10k-images-idx3-ubyte'), { labels: await mnistFile('t10k-labels-idx1-ubyte') });
}

/** Trains as a user would, in a process of its own that shows its progress; returns the milliseconds. */
async function train(out: string, flags: readonly string[], threads: number): Promise<number> {
  const cli = await compiledFile('packages/cli/dist/main.js');
  const begin = performance.now();
  await runCommand({
    program: process.execPath,
    args: [cli, 'train', '--out', out, '--threads', String(threads), ...flags],
  });
  return performance.now() - begin;
}

/** Draws samples by DDIM in a number format, and saves the first hundred as a picture beside the model. */
async function draw(
  options: Pick<Work, 'threads' | 'precision'>,
  path: string,
  asked: { readonly count: number; readonly labels?: Int32Array; readonly guidance?: number },
): Promise<Samples> {
  using device = await openDevice('cpu', options);
  const { model, diffusion } = await loadRun(path, { device });
  const drawn = await sample({
    model,
    diffusion,
    device,
    sampler: ddim({ steps: samplingSteps }),
    seed: 0,
    ...asked,
  });
  const [, height, width, channels] = drawn.shape as readonly [number, number, number, number];
  const count = Math.min(gridImages, asked.count);
  const data = drawn.images.subarray(0, count * height * width * channels);
  await saveImageGrid(`${path}.png`, { data, shape: [count, height, width, channels] }, { columns: 10 });
  return drawn;
}

function row(
  { name, ms, precision }: { readonly name: string; readonly ms: number; readonly precision: Precision },
  figure: Omit<Figure, 'limit'>,
  limit: number | undefined,
): CaseResult {
  if (!Number.isFinite(figure.value)) throw new DiffuseError('ERR_NON_FINITE', `${figure.name} is ${figure.value}`);
  return {
    ...{ suite: 'quality', name, precision },
    ours: { ...timing([ms]), peakBytes: 0 },
    figure: { ...figure, ...(limit !== undefined && { limit }) },
  };
}
