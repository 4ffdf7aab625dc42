// Signals: paths of a robot in the plane, [32 moments, 2 coordinates], that lead from left to right around an obstacle, on either side.
//
//   npx tsx --conditions=@diffuse/source examples/signals.ts
//
// Writes examples/out/signals.svg: paths of the data, sampled paths.
import { adamW, cosineSchedule, ddim, gaussianDiffusion, openDevice, sample, train, unet1d } from '@diffuse/core';
import { signalPlot } from '@diffuse/data';
import { inMemory } from './lib/in-memory.ts';
import { type Judgement, judge } from './lib/judge.ts';
import { writeOut } from './lib/output.ts';
import { type RandomSource, randomSource } from './lib/random.ts';
import { runAsScript } from './lib/script.ts';

/** Options of the example; a test runs it with less. */
export interface SignalsOptions {
  readonly steps?: number;
  readonly seed?: number;
  /** Paths in the data. */
  readonly paths?: number;
  /** Write the picture. */
  readonly picture?: boolean;
}

/** How well the model does. */
export interface SignalsJudgement extends Judgement {
  /** Share of the sampled paths that run through the obstacle; of the data, none does. */
  readonly collisions: number;
}

const moments = 32;

/** Radius of the obstacle, a disc around the origin. */
const obstacle = 0.3;

/** Trains on paths, samples, and judges the samples as vectors of 64 numbers. */
export async function run({
  steps = 800,
  seed = 0,
  paths = 1000,
  picture = false,
}: SignalsOptions = {}): Promise<SignalsJudgement> {
  const data = inMemory(pathsAround(paths, randomSource(seed)), [moments, 2]);
  const model = unet1d({ shape: [moments, 2], channels: [32, 64], layers: 1 });
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 200 }), predict: 'v' });
  using device = await openDevice();
  const optimizer = adamW({ learningRate: 1e-3, weightDecay: 0 });
  const options = { model, diffusion, data, device, steps, seed, optimizer, learningRateShape: 'cosine' } as const;
  for await (const { step, loss } of train({ ...options, batchSize: 128, ema: 0.995 })) {
    if (picture && step % 100 === 0) console.log(`step ${step}, loss ${loss.toFixed(3)}`);
  }
  const sampler = ddim({ steps: 50, eta: 1, spacing: 'trailing', clip: Number.POSITIVE_INFINITY });
  const { images } = await sample({ model, diffusion, device, sampler, count: 2 * paths, batchSize: 250, seed });
  if (picture) {
    const sets = [
      { label: 'data', data: data.data, shape: [paths, moments, 2] as const },
      { label: 'samples', data: images, shape: [2 * paths, moments, 2] as const },
    ];
    await writeOut('signals.svg', signalPlot({ title: 'Paths around an obstacle: x and y over time', sets }));
  }
  return { ...(await judge(data.data, images, 2 * moments)), collisions: collisions(images) };
}

/**
 * Paths [count, moments, 2] that keep clear of the obstacle; those that would hit it are drawn again. They pass above and below in turn:
 * by chance, two halves of the data could differ more in their shares of each than samples should.
 */
function pathsAround(count: number, random: RandomSource): Float32Array {
  const paths = new Float32Array(count * moments * 2);
  for (let i = 0; i < count; i++) {
    const side = i % 2 === 0 ? 1 : -1;
    let path = anyPath(random, side);
    while (collides(path)) path = anyPath(random, side);
    paths.set(path, i * path.length);
  }
  return paths;
}

/**
 * A smooth path [moments, 2] from somewhere on the left (x = -1.5) to somewhere on the right: a straight line plus an arc to the
 * side, 1 up or -1 down, walked at varying speed.
 */
function anyPath(random: RandomSource, side: 1 | -1): Float32Array {
  const [start, end] = [0.4 * random.normal(), 0.4 * random.normal()];
  const height = (1 + 0.15 * random.normal()) * side;
  const haste = 0.6 * random.uniform();
  const path = new Float32Array(2 * moments);
  for (let m = 0; m < moments; m++) {
    const t = m / (moments - 1);
    const progress = t + (haste * Math.sin(2 * Math.PI * t)) / (2 * Math.PI);
    const y = (1 - progress) * start + progress * end + height * Math.sin(Math.PI * progress) ** 2;
    path.set([3 * progress - 1.5, y], 2 * m);
  }
  return path;
}

/** Whether a path has a point inside the obstacle. */
function collides(path: Float32Array): boolean {
  return path.some((x, i) => i % 2 === 0 && Math.hypot(x, path[i + 1] ?? 0) < obstacle);
}

/** Share of the paths that collide. */
function collisions(paths: Float32Array): number {
  const size = 2 * moments;
  let hits = 0;
  for (let from = 0; from < paths.length; from += size) hits += Number(collides(paths.subarray(from, from + size)));
  return hits / (paths.length / size);
}

await runAsScript(import.meta.url, () => run({ picture: true }));
