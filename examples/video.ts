// Video: a bright disc that moves in a straight line and bounces off the walls, [6 frames, 12, 12, 1].
//
//   npx tsx --conditions=@diffuse/source examples/video.ts
//
// Writes examples/out/video.png: one video a row, four of the data and four samples.
import { adamW, cosineSchedule, ddim, gaussianDiffusion, openDevice, sample, train, videoUNet } from '@diffuse/core';
import { type ImageRow, saveCaptionedRows } from '@diffuse/data';
import { inMemory } from './lib/in-memory.ts';
import { type Judgement, judge } from './lib/judge.ts';
import { outPath } from './lib/output.ts';
import { type RandomSource, randomSource } from './lib/random.ts';
import { runAsScript } from './lib/script.ts';
import { brightness, disc, draw } from './lib/shapes.ts';

/** Options of the example; a test runs it with less. */
export interface VideoOptions {
  readonly steps?: number;
  readonly seed?: number;
  /** Videos in the data. */
  readonly videos?: number;
  /** Write the picture. */
  readonly picture?: boolean;
}

/** How well the model does, by the track of the disc. */
export interface VideoJudgement extends Judgement {
  /** Mean difference of a pixel from the disc that fits its frame best; 0.02 would be a grey haze of five levels of 255. */
  readonly blur: number;
}

const frames = 6;
const side = 12;
const radius = 2;

/**
 * Trains on videos, samples, and judges the samples by where the disc is in each frame: the energy distance of tracks, [6 frames, x and
 * y]. In pixels it would tell little, as two discs that don't overlap are as far apart as any other two.
 */
export async function run({
  steps = 1200,
  seed = 0,
  videos = 300,
  picture = false,
}: VideoOptions = {}): Promise<VideoJudgement> {
  const data = inMemory(bouncingDiscs(videos, randomSource(seed)), [frames, side, side, 1]);
  const model = videoUNet({ shape: [frames, side, side, 1], channels: [16, 32, 32] });
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 200 }), predict: 'v' });
  using device = await openDevice();
  const optimizer = adamW({ learningRate: 2e-3, weightDecay: 0 });
  const options = { model, diffusion, data, device, steps, seed, optimizer, learningRateShape: 'cosine' } as const;
  for await (const { step, loss } of train({ ...options, batchSize: 16, ema: 0.995 })) {
    if (picture && step % 100 === 0) console.log(`step ${step}, loss ${loss.toFixed(3)}`);
  }
  const sampler = ddim({ steps: 25, eta: 1, spacing: 'trailing' });
  const { images } = await sample({ model, diffusion, device, sampler, count: videos, batchSize: 32, seed });
  if (picture) {
    const rowsOf = (label: string, all: Float32Array): ImageRow[] =>
      Array.from({ length: 4 }, (_, row) => ({
        label,
        images: {
          data: all.subarray(row * frames * side * side, (row + 1) * frames * side * side),
          shape: [frames, side, side, 1],
        },
      }));
    const rows = [...rowsOf('data', data.data), ...rowsOf('sample', images)];
    await saveCaptionedRows(await outPath('video.png'), rows, { scale: 3, group: 4 });
  }
  return { ...(await judge(tracks(data.data), tracks(images), 2 * frames)), blur: blur(images) };
}

/** Videos [count, frames, side, side] in [-1, 1]. */
function bouncingDiscs(count: number, random: RandomSource): Float32Array {
  const videos = new Float32Array(count * frames * side * side);
  for (let i = 0; i < count; i++) {
    const angle = 2 * Math.PI * random.uniform();
    const speed = 1 + random.uniform();
    const start = [random.uniform(), random.uniform()].map((u) => radius + u * (side - 2 * radius));
    for (let f = 0; f < frames; f++) {
      const x = reflect((start[0] ?? 0) + f * speed * Math.cos(angle));
      const y = reflect((start[1] ?? 0) + f * speed * Math.sin(angle));
      videos.set(draw(disc(x, y, radius), side), (i * frames + f) * side * side);
    }
  }
  return videos;
}

/** A coordinate that left the box, mirrored back at its walls as often as need be. */
function reflect(position: number): number {
  const room = side - 2 * radius;
  const way = (((position - radius) % (2 * room)) + 2 * room) % (2 * room);
  return radius + (way < room ? way : 2 * room - way);
}

/** Centre of brightness of each frame: [count, frames, 2] from [count, frames, side, side]. */
function tracks(videos: Float32Array): Float32Array {
  return Float32Array.from(brightness(videos, side).flatMap(({ x, y }) => [x, y]));
}

/** Mean absolute difference of the frames from discs at their centres of brightness. */
function blur(videos: Float32Array): number {
  const size = side * side;
  let sum = 0;
  for (const [f, { x, y }] of brightness(videos, side).entries()) {
    const ideal = draw(disc(x, y, radius), side);
    for (const [i, value] of ideal.entries()) sum += Math.abs(value - (videos[f * size + i] ?? 0));
  }
  return sum / videos.length;
}

await runAsScript(import.meta.url, () => run({ picture: true }));
