import {
  adamW,
  createSchedule,
  createWeighting,
  type Dataset,
  type Device,
  type Diffusion,
  gaussianDiffusion,
  type TrainOptions,
  UNet2D,
} from '@diffuse/core';
import type { ImageDataset } from '@diffuse/data';
import { usageError } from '../failure.ts';
import type { TrainSettings } from '../settings/train-settings.ts';

/** The network that the settings describe, for images of `data`; without weights. */
export function buildModel(
  settings: TrainSettings,
  { shape, classNames }: Pick<ImageDataset, 'shape' | 'classNames'>,
): UNet2D {
  const { classes, modelChannels, layers, attention, headChannels = null, dropout } = settings;
  const [height, width] = shape;
  const factor = 2 ** (modelChannels.length - 1);
  if (height % factor !== 0 || width % factor !== 0) {
    throw usageError(
      `--model-channels with ${modelChannels.length} levels needs sides that are multiples of ${factor}; ` +
        `the images are ${height} x ${width}: choose another --resolution or fewer levels`,
    );
  }
  return new UNet2D({
    shape,
    channels: modelChannels,
    layers,
    attention,
    headChannels,
    dropout,
    classes: classes === 'none' ? null : (classNames?.length ?? null),
  });
}

/** The noising process that the settings describe. */
export function buildDiffusion(settings: TrainSettings): Diffusion {
  const { schedule, scheduleOptions, timesteps, predict, weighting, weightingOptions } = settings;
  return gaussianDiffusion({
    schedule: createSchedule(schedule, { ...scheduleOptions, steps: timesteps }),
    predict,
    weighting: createWeighting(weighting, weightingOptions),
  });
}

/** What `train()` is given, but for the length of the run and its state. */
export function trainOptions(
  settings: TrainSettings,
  parts: { model: UNet2D; diffusion: Diffusion; data: Dataset; device: Device },
): Omit<TrainOptions, 'steps'> {
  const { batchSize, accumulate, lr, lrSchedule, warmup, weightDecay, beta1, beta2, epsilon } = settings;
  return {
    ...parts,
    batchSize,
    accumulate,
    optimizer: adamW({ learningRate: lr, beta1, beta2, epsilon, weightDecay }),
    learningRateShape: lrSchedule,
    warmup,
    clipNorm: settings.clipNorm,
    ema: settings.ema,
    flip: settings.flip,
    seed: settings.seed,
  };
}
