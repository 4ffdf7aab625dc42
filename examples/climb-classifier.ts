// A classifier is no painter: climbing the slope of its p(class | x) from noise ends at noise that it is sure of. The slope of a
// classifier of noisy images, which only steers a diffusion model, ends at pictures.
//
//   npx tsx --conditions=@diffuse/source examples/climb-classifier.ts
//
// Writes examples/out/climb-classifier.png: a row of data, of what the climb makes, and of guided samples; the class changes by column.
import {
  adamW,
  type Classifier,
  classification,
  classifier,
  classifierSlope,
  classify,
  compile,
  cosineSchedule,
  type Device,
  ddim,
  Graph,
  gaussianDiffusion,
  openDevice,
  sample,
  train,
  UNet2D,
} from '@diffuse/core';
import { saveCaptionedRows } from '@diffuse/data';
import { inMemory } from './lib/in-memory.ts';
import { type Judgement, judge } from './lib/judge.ts';
import { outPath } from './lib/output.ts';
import { type RandomSource, randomSource } from './lib/random.ts';
import { runAsScript } from './lib/script.ts';
import { cross, disc, draw, ring } from './lib/shapes.ts';

/** Options of the example; a test runs it with less. */
export interface ClimbOptions {
  /** Training steps of the diffusion model. */
  readonly steps?: number;
  /** Training steps of each of the two classifiers. */
  readonly classifierSteps?: number;
  readonly seed?: number;
  /** Images in the data. */
  readonly count?: number;
  /** Write the picture. */
  readonly picture?: boolean;
}

/** How well the guided samples do, and what climbing made. */
export interface ClimbJudgement extends Judgement {
  /** What the plain classifier gives to the class that was asked for: its mean probability for what climbing made of noise. */
  readonly climbedConfidence: number;
  /** As `ratio`, of what climbing made. */
  readonly climbedRatio: number;
  /** The plain classifier's mean probability for the guided samples. */
  readonly guidedConfidence: number;
}

const side = 12;
const pixels = side * side;
const classNames = ['disc', 'ring', 'cross'];

/** Trains a plain classifier, a classifier of noisy images and a diffusion model; climbs with the first, guides with the others. */
export async function run({
  steps = 500,
  classifierSteps = 300,
  seed = 0,
  count = 600,
  picture = false,
}: ClimbOptions = {}): Promise<ClimbJudgement> {
  const random = randomSource(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classNames.length);
  const data = { ...inMemory(shapes(labels, random), [side, side, 1]), labels, classNames };
  using device = await openDevice();
  const optimizer = adamW({ learningRate: 2e-3, weightDecay: 0 });
  const common = { device, data, seed, optimizer, learningRateShape: 'cosine', ema: 0.99, batchSize: 64 } as const;
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 200 }), predict: 'v' });

  const sizes = { shape: [side, side, 1], classes: classNames.length, channels: [16, 32] } as const;
  const [plain, noiseAware] = [classifier(sizes), classifier({ ...sizes, timeConditioned: true })];
  await finish(train({ ...common, steps: classifierSteps, model: plain, objective: classification() }));
  await finish(
    train({ ...common, steps: classifierSteps, model: noiseAware, objective: classification({ diffusion }) }),
  );
  const model = new UNet2D({ shape: [side, side, 1], channels: [32, 64], layers: 1, attention: [6] });
  await finish(train({ ...common, steps, model, diffusion }));

  const wanted = labels.slice(0, count / 2);
  const noise = Float32Array.from({ length: wanted.length * pixels }, () => random.normal());
  const climbed = await climb(plain, device, noise, wanted);
  const guided = await sample({
    model,
    diffusion,
    device,
    sampler: ddim({ steps: 25, eta: 1, spacing: 'trailing' }),
    ...{ count: wanted.length, labels: wanted, seed, batchSize: 100 },
    guidance: { kind: 'classifier', scale: 3, network: noiseAware, slope: classifierSlope(noiseAware) },
  });
  if (picture) await save({ data: data.data, climbed, guided: guided.images });
  return {
    ...(await judge(data.data, guided.images, pixels)),
    guidedConfidence: await confidence(plain, device, guided.images, wanted),
    climbedRatio: (await judge(data.data, climbed, pixels)).ratio,
    climbedConfidence: await confidence(plain, device, climbed, wanted),
  };
}

/** Images [labels.length, side, side] of shapes of the classes, anywhere in the image. */
function shapes(labels: Int32Array, random: RandomSource): Float32Array {
  const images = new Float32Array(labels.length * pixels);
  for (const [i, label] of labels.entries()) {
    const radius = 2.5 + random.uniform();
    const [x = 0, y = 0] = [0, 1].map(() => radius + 0.5 + random.uniform() * (side - 2 * radius - 1));
    const shape = [disc(x, y, radius), ring(x, y, radius, 1.2), cross(x, y, radius, 1.4)][label];
    if (shape) images.set(draw(shape, side), i * pixels);
  }
  return images;
}

async function finish(training: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of training);
}

/**
 * Goes up the slope of log p(label | x) of a classifier of clean images, in steps of equal length, inside of [-1, 1].
 *
 * @param start [labels.length, side, side], where it begins.
 */
async function climb(
  model: Classifier,
  device: Device,
  start: Float32Array,
  labels: Int32Array,
  { steps = 200, stepLength = 0.05 * side }: { steps?: number; stepLength?: number } = {},
): Promise<Float32Array> {
  const graph = new Graph();
  const x = graph.input('x', [labels.length, ...model.shape]);
  const slope = classifierSlope(model)({
    graph,
    x,
    t: graph.input('t', [labels.length]),
    labels: graph.input('labels', [labels.length], 'i32'),
  });
  const guide = model.weights?.ema;
  if (!guide) throw new Error('the classifier is not trained');
  using program = compile(graph, { device, outputs: { slope }, buffers: { guide } });
  let images = start.map(toRange);
  for (let step = 0; step < steps; step++) {
    const inputs = { x: images, labels, t: new Float32Array(labels.length) };
    const { slope: up } = await program.run({ inputs });
    const lengths = Float64Array.from(labels, (_, i) => Math.hypot(...up.subarray(i * pixels, (i + 1) * pixels)));
    images = images.map((value, i) => {
      const length = lengths[Math.floor(i / pixels)] ?? 0;
      return toRange(value + (stepLength * (up[i] ?? 0)) / (length + 1e-12));
    });
  }
  return images;
}

const toRange = (value: number): number => Math.max(-1, Math.min(1, value));

/** Mean probability that a classifier gives to the labels. */
async function confidence(
  model: Classifier,
  device: Device,
  images: Float32Array,
  labels: Int32Array,
): Promise<number> {
  const { logits } = await classify(model, device, images);
  const sum = labels.reduce((total, label, i) => {
    const row = logits.subarray(i * classNames.length, (i + 1) * classNames.length);
    const own = row[label] ?? 0;
    return total + 1 / row.reduce((ratio, logit) => ratio + Math.exp(logit - own), 0);
  }, 0);
  return sum / labels.length;
}

/** Draws the first images of each set as a row. */
async function save(sets: Readonly<Record<'data' | 'climbed' | 'guided', Float32Array>>): Promise<void> {
  const columns = 9;
  const rows = Object.entries(sets).map(([label, data]) => ({
    label,
    images: { data: data.subarray(0, columns * pixels), shape: [columns, side, side, 1] as const },
  }));
  await saveCaptionedRows(await outPath('climb-classifier.png'), rows, { scale: 5 });
}

await runAsScript(import.meta.url, () => run({ picture: true }));
