import {
  adamW,
  cosineSchedule,
  type Dataset,
  type Device,
  gaussianDiffusion,
  type Training,
  train,
  UNet2D,
} from '@diffuse/core';

/** What decides a training run of {@link mnistTraining} beside the device. */
export interface MnistTrainingOptions {
  readonly data: Dataset;
  /** Length of the run; the learning rate falls to 0 on the way. */
  readonly steps: number;
  /** Decides the weights, the order of the images and all noise. */
  readonly seed: number;
}

/** The preset `mnist` of the command line tool, begun by the library, which can also hold its convolutions to the direct sum. */
export function mnistTraining(device: Device, { data, steps, seed }: MnistTrainingOptions): Training {
  return train({
    model: new UNet2D({
      shape: data.shape as [number, number, number],
      channels: [16, 32, 64],
      layers: 1,
      attention: [7],
    }),
    diffusion: gaussianDiffusion({ schedule: cosineSchedule(), predict: 'v' }),
    ...{ data, device, steps, seed, batchSize: 32 },
    optimizer: adamW({ learningRate: 4e-3, beta2: 0.99, weightDecay: 0.01 }),
    learningRateShape: 'cosine',
    warmup: 100,
    clipNorm: 1,
    ema: 0.995,
  });
}
