import type { TrainSettings } from './train-settings.ts';

/** Settings that go well together. */
export interface Preset {
  /** One line for `--help`. */
  readonly description: string;
  readonly settings: Partial<TrainSettings>;
}

/** Every preset by its name. Flags and configuration files override single settings. */
export const presets: Readonly<Record<string, Preset>> = {
  mnist: {
    description: 'handwritten digits, 28 x 28 grey: minutes on a laptop',
    settings: {
      modelChannels: [16, 32, 64],
      layers: 1,
      attention: [7],
      steps: 3000,
      batchSize: 32,
      lr: 4e-3,
      beta2: 0.99,
      lrSchedule: 'cosine',
      warmup: 100,
      ema: 0.995,
      checkpointEvery: 500,
      previewEvery: 0,
    },
  },
  small: {
    description: 'a first model of your own images, 32 x 32: an evening on a laptop',
    settings: {
      resolution: 32,
      modelChannels: [64, 128, 128],
      layers: 1,
      attention: [8],
      flip: true,
      steps: 20_000,
      batchSize: 32,
      lr: 5e-4,
      lrSchedule: 'cosine',
      warmup: 500,
      ema: 0.999,
    },
  },
  cifar: {
    description: 'the CIFAR-10 model of Ho et al. 2020, 32 x 32 RGB, 35.7 million parameters',
    settings: {
      resolution: 32,
      channels: 3,
      flip: true,
      modelChannels: [128, 256, 256, 256],
      layers: 2,
      attention: [16],
      dropout: 0.1,
      schedule: 'linear',
      predict: 'eps',
      steps: 800_000,
      batchSize: 128,
      lr: 2e-4,
      warmup: 5000,
      weightDecay: 0,
      ema: 0.9999,
      checkpointEvery: 5000,
      previewEvery: 5000,
    },
  },
};
