// Latent diffusion: a small autoencoder makes 4x4x2 numbers of a 16x16 image, and a diffusion model learns these.
//
//   npx tsx --conditions=@diffuse/source examples/latent.ts
//
// Writes examples/out/latent.png: a row of data, the same through the autoencoder, and samples; and the run, to examples/out/latent/.
import {
  adamW,
  autoencoder,
  autoencodingObjective,
  cosineSchedule,
  ddim,
  decodeLatents,
  encodeImages,
  gaussianDiffusion,
  openDevice,
  sample,
  saveRun,
  train,
  UNet2D,
} from '@diffuse/core';
import { saveCaptionedRows } from '@diffuse/data';
import { inMemory } from './lib/in-memory.ts';
import { type Judgement, judge } from './lib/judge.ts';
import { outPath } from './lib/output.ts';
import { type RandomSource, randomSource } from './lib/random.ts';
import { runAsScript } from './lib/script.ts';
import { brightness, disc, draw } from './lib/shapes.ts';

/** Options of the example; a test runs it with less. */
export interface LatentOptions {
  /** Training steps of each of the two networks. */
  readonly steps?: number;
  readonly seed?: number;
  /** Images in the data. */
  readonly count?: number;
  /** Write the picture. */
  readonly picture?: boolean;
}

/** How well the model does, by where the disc is and how large. */
export interface LatentJudgement extends Judgement {
  /** Mean absolute error of a pixel that went through the autoencoder, of a range of 2. */
  readonly reconstruction: number;
}

const side = 16;
const pixels = side * side;

/**
 * Trains the autoencoder, then the diffusion model on its latents; samples, decodes, and judges the images by three numbers each: centre
 * and size of the disc.
 */
export async function run({
  steps = 500,
  seed = 0,
  count = 600,
  picture = false,
}: LatentOptions = {}): Promise<LatentJudgement> {
  const data = inMemory(discs(count, randomSource(seed)), [side, side, 1]);
  using device = await openDevice();
  const optimizer = adamW({ learningRate: 2e-3, weightDecay: 0 });
  const common = { device, steps, seed, optimizer, learningRateShape: 'cosine', ema: 0.99 } as const;

  const coder = autoencoder({ shape: [side, side, 1], channels: [16, 32, 32], latentChannels: 2 });
  const objective = autoencodingObjective({ klWeight: 3e-4 });
  for await (const { step, outputs } of train({ ...common, model: coder, objective, data, batchSize: 32 })) {
    if (picture && step % 100 === 0) console.log(`autoencoder: step ${step}, error ${outputs.error?.toFixed(4)}`);
  }

  const latents = await encodeImages(data, { model: coder, device });
  const model = new UNet2D({ shape: latents.shape, channels: [64, 128], layers: 1, attention: [4] });
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 200 }), predict: 'v' });
  const training = train({ ...common, model, diffusion, data: latents, batchSize: 128 });
  for await (const { step, loss } of training) {
    if (picture && step % 100 === 0) console.log(`diffusion: step ${step}, loss ${loss.toFixed(3)}`);
    if (!picture || step < steps) continue;
    // Both networks in one folder: loadRun(folder, { device, kind: 'latent' }) returns them, ready to draw and to decode.
    const { scale, fingerprint } = latents;
    const parts = { model, diffusion, autoencoder: coder, scale };
    await saveRun(await outPath('latent'), { ...parts, state: training.state, fingerprint, seed });
  }

  const sampler = ddim({ steps: 50, eta: 1, spacing: 'trailing', clip: Number.POSITIVE_INFINITY });
  const drawn = await sample({ model, diffusion, device, sampler, count, batchSize: 100, seed });
  const images = await decodeLatents(drawn.images, latents.scale, { model: coder, device });
  const again = await decodeLatents(latents.data, latents.scale, { model: coder, device });
  if (picture) {
    const rows = Object.entries({ data: data.data, 'coded and back': again, samples: images }).map(([label, all]) => ({
      label,
      images: { data: all.subarray(0, 12 * pixels), shape: [12, side, side, 1] as const },
    }));
    await saveCaptionedRows(await outPath('latent.png'), rows, { scale: 3 });
  }
  const reconstruction = again.reduce((sum, value, i) => sum + Math.abs(value - (data.data[i] ?? 0)), 0) / again.length;
  return { ...(await judge(features(data.data), features(images), 3)), reconstruction };
}

/** Images [count, side, side, 1] in [-1, 1]: a white disc on black, a soft edge of one pixel between. */
function discs(count: number, random: RandomSource): Float32Array {
  const images = new Float32Array(count * pixels);
  for (let i = 0; i < count; i++) {
    const radius = 2 + 2 * random.uniform();
    const [x = 0, y = 0] = [0, 1].map(() => radius + random.uniform() * (side - 2 * radius));
    images.set(draw(disc(x, y, radius), side), i * pixels);
  }
  return images;
}

/** Of each image: centre of brightness, and the radius of a disc as bright. Twice the radius has about the spread of the others. */
function features(images: Float32Array): Float32Array {
  return Float32Array.from(brightness(images, side).flatMap(({ x, y, mass }) => [x, y, 2 * Math.sqrt(mass / Math.PI)]));
}

await runAsScript(import.meta.url, () => run({ picture: true }));
