import {
  adamW,
  type Classifier,
  type CommonTrainOptions,
  classification,
  classifier,
  type Device,
  diffusionObjective,
  type Network,
  saveRun,
  type Training,
  type TrainingState,
  train,
  UNet2D,
} from '@diffuse/core';
import type { ImageDataset } from '@diffuse/data';
import { usageError } from '../failure.ts';
import type { TrainSettings } from '../settings/train-settings.ts';
import { buildDiffusion } from './build-diffusion.ts';
import { savePreview } from './preview.ts';
import type { Judged } from './train-evaluation.ts';

/** What is saved of a run beside the model. */
export interface CheckpointParts {
  readonly state: TrainingState;
  readonly fingerprint: string;
  readonly seed: number;
}

/** What a run trains: a model without weights and all that depends on its kind. */
export interface Task {
  readonly model: Network;
  /** Begins the training; the length of the run and its state are the caller's. */
  train(options: Pick<CommonTrainOptions, 'steps' | 'resume'>): Training;
  /** Writes state and weights. */
  save(directory: string, parts: CheckpointParts): Promise<void>;
  /** Draws a picture of how far the model is and returns its path; undefined where there is nothing to see. */
  readonly preview: ((folder: string, step: number, signal: AbortSignal) => Promise<string>) | undefined;
  /** What an evaluation looks at. */
  readonly judged: Judged;
}

/**
 * What the settings ask for.
 *
 * @throws Failure naming the flag that does not fit; DiffuseError `ERR_ARGUMENT`.
 */
export function buildTask(settings: TrainSettings, data: ImageDataset, device: Device): Task {
  const common = commonOptions(settings, data, device);
  return settings.task === 'classifier'
    ? classifierTask(settings, data, common)
    : diffusionTask(settings, data, device, common);
}

/**
 * Checks what can be checked before the data are read.
 *
 * @throws DiffuseError `ERR_ARGUMENT`
 */
export function checkTask(settings: TrainSettings): void {
  if (settings.task === 'diffusion') diffusionObjective(buildDiffusion(settings));
  else if (settings.noisy) buildDiffusion(settings);
}

type Common = Omit<CommonTrainOptions, 'steps' | 'resume'>;

function commonOptions(settings: TrainSettings, data: ImageDataset, device: Device): Common {
  const { batchSize, accumulate, lr, lrSchedule, warmup, weightDecay, beta1, beta2, epsilon, clipNorm, ema, seed } =
    settings;
  const optimizer = adamW({ learningRate: lr, beta1, beta2, epsilon, weightDecay });
  return { data, device, batchSize, accumulate, optimizer, learningRateShape: lrSchedule, warmup, clipNorm, ema, seed };
}

function diffusionTask(settings: TrainSettings, data: ImageDataset, device: Device, common: Common): Task {
  const model = buildUNet(settings, data);
  const diffusion = buildDiffusion(settings);
  const { flip, dropClass, offsetNoise, loss = 'simple', timestepSampling } = settings;
  const options = { flip, dropClass, offsetNoise, loss, timestepSampling };
  const classNames = model.classes === null ? undefined : data.classNames;
  return {
    model,
    train: (length) => train({ ...common, ...length, ...options, model, diffusion }),
    save: (directory, parts) => saveRun(directory, { model, diffusion, classNames, ...parts }),
    preview: (folder, step, signal) => savePreview(folder, step, { model, diffusion, device }, signal),
    judged: { kind: 'denoiser', model, diffusion },
  };
}

function classifierTask(settings: TrainSettings, data: ImageDataset, common: Common): Task {
  const { flip, noisy } = settings;
  const model = buildClassifier(settings, data);
  const objective = classification({ flip, diffusion: noisy ? buildDiffusion(settings) : undefined });
  const { classNames } = data;
  return {
    model,
    train: (length) => train({ ...common, ...length, model, objective }),
    save: (directory, parts) => saveRun(directory, { model, classNames, ...parts }),
    preview: undefined,
    judged: { kind: 'classifier', model },
  };
}

function buildUNet(settings: TrainSettings, { shape, classNames }: ImageDataset): UNet2D {
  const { classes, modelChannels, layers, attention, headChannels = null, dropout, dropClass } = settings;
  const { variance, selfConditioning } = settings;
  checkLevels(modelChannels, shape);
  return new UNet2D({
    shape,
    channels: modelChannels,
    layers,
    attention,
    headChannels,
    dropout,
    classes: classes === 'none' ? null : (classNames?.length ?? null),
    nullClass: dropClass > 0,
    learnedVariance: variance === 'learned',
    selfConditioning,
  });
}

function buildClassifier(settings: TrainSettings, { shape, classNames = [] }: ImageDataset): Classifier {
  const { modelChannels: channels, layers, dropout, noisy: timeConditioned } = settings;
  checkLevels(channels, shape);
  if (classNames.length < 2) {
    throw usageError(`--task classifier needs images of at least two classes; these have ${classNames.length}`);
  }
  return classifier({ shape, classes: classNames.length, channels, layers, dropout, timeConditioned });
}

function checkLevels(modelChannels: readonly number[], [height, width]: ImageDataset['shape']): void {
  const factor = 2 ** (modelChannels.length - 1);
  if (height % factor === 0 && width % factor === 0) return;
  throw usageError(
    `--model-channels with ${modelChannels.length} levels needs sides that are multiples of ${factor}; ` +
      `the images are ${height} x ${width}: choose another --resolution or fewer levels`,
  );
}
