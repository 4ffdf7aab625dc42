import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import type { Device } from '../../src/native/device.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import type { Dataset } from '../../src/training/dataset.ts';
import { type Training, type TrainOptions, type TrainProgress, train } from '../../src/training/train.ts';
import { stateBuffers, type TrainingState } from '../../src/training/training-state.ts';

/** Synthetic 8x8 grey images: class k has a bright band at row 2k. */
export function bands(count = 64): Dataset {
  const pixels = new Uint8Array(count * 64);
  const labels = Int32Array.from({ length: count }, (_, i) => i % 4);
  for (let i = 0; i < count; i++) {
    for (let p = 0; p < 64; p++) pixels[i * 64 + p] = Math.floor(p / 16) === i % 4 ? 255 - (i % 7) : i % 11;
  }
  return {
    shape: [8, 8, 1],
    count,
    fingerprint: `bands ${count}`,
    labels,
    classNames: ['a', 'b', 'c', 'd'],
    async read(indices, target) {
      indices.forEach((index, i) => {
        target.set(pixels.subarray(index * 64, index * 64 + 64), i * 64);
      });
    },
  };
}

/** A U-Net small enough for hundreds of steps a second, with attention and dropout. */
export function tinyModel({ classes = null }: { classes?: number | null } = {}): UNet2D {
  return new UNet2D({ shape: [8, 8, 1], channels: [8, 16], layers: 1, attention: [4], dropout: 0.1, classes });
}

/** A training run of the tiny model with everything switched on. */
export async function tinyTraining(device: Device, options: Partial<TrainOptions> = {}): Promise<Training> {
  const diffusion = gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' });
  return train({
    model: tinyModel(),
    diffusion,
    data: bands(),
    device,
    steps: 20,
    batchSize: 8,
    flip: true,
    ema: 0.99,
    warmup: 5,
    learningRateShape: 'cosine',
    seed: 7,
    ...options,
  });
}

/** Runs a training to its end; returns what each step reported, measured times left out, and the final state. */
export async function finish(training: Training): Promise<{ log: string[]; bytes: Record<string, Buffer> }> {
  const log: string[] = [];
  let bytes: Record<string, Buffer> = {};
  for await (const progress of training) {
    log.push(deterministic(progress));
    bytes = await readState(training.state);
  }
  return { log, bytes };
}

/** The part of a step's report that must be the same on every run. */
export function deterministic({ step, loss, gradientNorm, learningRate }: TrainProgress): string {
  return JSON.stringify({ step, loss, gradientNorm, learningRate });
}

/** Every buffer of a state, as bytes. */
export async function readState(state: TrainingState): Promise<Record<string, Buffer>> {
  const entries = Object.entries(stateBuffers(state)).map(async ([name, buffer]): Promise<[string, Buffer]> => {
    const data = await buffer.read(0, state.weights.table.size);
    return [name, Buffer.from(data.buffer)];
  });
  return Object.fromEntries(await Promise.all(entries));
}
