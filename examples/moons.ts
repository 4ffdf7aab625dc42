// Points in the plane: two interleaved half circles, the smallest diffusion model there is.
//
//   npx tsx --conditions=@diffuse/source examples/moons.ts
//
// Writes examples/out/moons.svg: the data, the samples.
import { adamW, cosineSchedule, ddpm, gaussianDiffusion, mlp, openDevice, sample, train } from '@diffuse/core';
import { scatterPlot } from '@diffuse/data';
import { inMemory } from './lib/in-memory.ts';
import { type Judgement, judge } from './lib/judge.ts';
import { writeOut } from './lib/output.ts';
import { type RandomSource, randomSource } from './lib/random.ts';
import { runAsScript } from './lib/script.ts';

/** Options of the example; a test runs it with less. */
export interface MoonsOptions {
  readonly steps?: number;
  readonly seed?: number;
  /** Points in the data. */
  readonly points?: number;
  /** Write the picture. */
  readonly picture?: boolean;
}

/** Trains on two moons, samples, and judges the samples. */
export async function run({
  steps = 2000,
  seed = 0,
  points = 2000,
  picture = false,
}: MoonsOptions = {}): Promise<Judgement> {
  const data = inMemory(twoMoons(points, randomSource(seed)), [2]);
  const model = mlp({ shape: [2], width: 128, layers: 3 });
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 100 }), predict: 'eps' });
  using device = await openDevice();
  const optimizer = adamW({ learningRate: 2e-3, weightDecay: 0 });
  const options = { model, diffusion, data, device, steps, seed, optimizer, learningRateShape: 'cosine' } as const;
  for await (const { step, loss } of train({ ...options, batchSize: 256, ema: 0.995 })) {
    if (picture && step % 500 === 0) console.log(`step ${step}, loss ${loss.toFixed(3)}`);
  }
  // Points are not images: no bound of [-1, 1] holds for them, so the estimate of x0 is not clipped.
  const sampler = ddpm({ clip: Number.POSITIVE_INFINITY });
  const { images } = await sample({ model, diffusion, device, sampler, count: 2 * points, batchSize: 1000, seed });
  if (picture) {
    const sets = [
      { label: 'data', points: data.data },
      { label: 'samples', points: images },
    ];
    await writeOut('moons.svg', scatterPlot({ title: 'Two moons', sets }));
  }
  return judge(data.data, images, 2);
}

/** Points of two half circles of radius 1 with a little noise, moved to mean 0 and variance 1. */
function twoMoons(count: number, random: RandomSource): Float32Array {
  const points = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const angle = Math.PI * random.uniform();
    const upper = random.uniform() < 0.5;
    const x = upper ? Math.cos(angle) : 1 - Math.cos(angle);
    const y = upper ? Math.sin(angle) : 0.5 - Math.sin(angle);
    points.set([(x + 0.06 * random.normal() - 0.5) / 0.87, (y + 0.06 * random.normal() - 0.25) / 0.5], 2 * i);
  }
  return points;
}

await runAsScript(import.meta.url, () => run({ picture: true }));
