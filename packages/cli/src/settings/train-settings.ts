import {
  type DiffusionLoss,
  diffusionLosses,
  type LearningRateShape,
  learningRateShapes,
  type Precision,
  precisions,
  type TargetName,
  type TimestepSampling,
  targets,
  timestepSamplings,
  type WeightingName,
  weightings,
} from '@diffuse/core';
import { type DeviceChoice, deviceSetting, tf32Setting } from './device-setting.ts';
import {
  atLeastZero,
  flag,
  imageSize,
  integer,
  integers,
  namedNumbers,
  oneOf,
  oneOfNumbers,
  positive,
  type SettingTable,
  share,
  text,
} from './kinds.ts';
import { type ScheduleChoice, scheduleChoice } from './schedule-choice.ts';
import { type TrainEvaluationSettings, trainEvaluationSettings } from './train-evaluation-settings.ts';

/** Where a model learns what an image shows. */
export type ClassSource = 'none' | 'folders' | 'labels';

/** What a run trains. */
export type TaskName = 'diffusion' | 'classifier';

/** What a model says of the variance of a step. */
export type ModelVariance = 'fixed' | 'learned';

/** Everything that decides a training run: each is a flag of `train` and a key of its configuration file. */
export interface TrainSettings extends TrainEvaluationSettings {
  task: TaskName;
  data?: string;
  labels?: string;
  classes?: ClassSource;
  resolution?: number | string;
  channels?: number;
  flip: boolean;
  strict: boolean;
  cacheDir?: string;

  modelChannels: readonly number[];
  layers: number;
  attention: readonly number[];
  headChannels?: number;
  dropout: number;
  dropClass: number;
  offsetNoise: number;
  noisy: boolean;
  variance?: ModelVariance;
  selfConditioning: boolean;

  schedule: ScheduleChoice;
  scheduleOptions: Readonly<Record<string, number>>;
  timesteps: number;
  predict: TargetName;
  weighting: WeightingName;
  weightingOptions: Readonly<Record<string, number>>;
  loss?: DiffusionLoss;
  timestepSampling: TimestepSampling;

  steps?: number;
  epochs?: number;
  minutes?: number;
  batchSize: number;
  accumulate: number;
  lr: number;
  lrSchedule: LearningRateShape;
  warmup: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  clipNorm: number;
  ema: number;
  seed: number;

  checkpointEvery: number;
  previewEvery: number;

  device: DeviceChoice;
  tf32: boolean;
  threads?: number;
  precision: Precision;
}

/** Name of a training setting. */
export type TrainSettingName = keyof TrainSettings;

/** What holds where neither flag nor file nor preset says anything. */
export const trainDefaults: TrainSettings = {
  task: 'diffusion',
  flip: false,
  strict: false,
  modelChannels: [64, 128, 256],
  layers: 2,
  attention: [],
  dropout: 0,
  dropClass: 0,
  offsetNoise: 0,
  noisy: false,
  selfConditioning: false,
  schedule: 'cosine',
  scheduleOptions: {},
  timesteps: 1000,
  predict: 'v',
  weighting: 'simple',
  weightingOptions: {},
  timestepSampling: 'uniform',
  batchSize: 64,
  accumulate: 1,
  lr: 2e-4,
  lrSchedule: 'constant',
  warmup: 500,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  clipNorm: 1,
  ema: 0.9999,
  seed: 0,
  checkpointEvery: 1000,
  previewEvery: 1000,
  evalEvery: 0,
  device: 'auto',
  tf32: false,
  precision: 'fp32',
};

/** What takes the place of the defaults where a classifier is trained: a small network that learns MNIST in minutes. */
export const classifierDefaults: Partial<TrainSettings> = {
  modelChannels: [16, 32, 96],
  layers: 1,
  steps: 2000,
  lr: 2e-3,
  beta2: 0.99,
  lrSchedule: 'cosine',
  warmup: 100,
  ema: 0.99,
  checkpointEvery: 500,
  previewEvery: 0,
};

/** Length of a run when nothing says it. */
export const defaultSteps = 10_000;

/** Largest seed: seeds are non-negative integers that a double holds exactly. */
const seedKind = integer(0);

const data = 'Data:';
const model = 'Model:';
const diffusion = 'Diffusion:';
const training = 'Training:';
const run = 'Run:';

/** The flags of `train` in the order of its help. */
export const trainSettings: SettingTable<TrainSettings> = {
  task: {
    kind: oneOf(['diffusion', 'classifier']),
    description: 'what is trained: a model that draws images, or a classifier that judges them',
    group: run,
  },
  data: {
    kind: text('a folder of images or an IDX file'),
    description: 'folder of images (PNG, JPEG, WebP, AVIF, TIFF, GIF; nested), or an IDX file (idx3-ubyte)',
    group: data,
  },
  labels: { kind: text('an IDX file'), description: 'labels of an IDX file (idx1-ubyte)', group: data },
  classes: {
    kind: oneOf(['none', 'folders', 'labels']),
    description: 'what the model is told of an image: nothing, its sub-folder, or its label',
    group: data,
    defaultText: 'labels with --labels, else none',
  },
  resolution: {
    kind: imageSize(),
    description: 'size of the images, N or HxW; they are resized to cover it and cropped',
    group: data,
    defaultText: 'that of the files',
  },
  channels: {
    kind: oneOfNumbers([1, 3, 4]),
    description: 'grey, RGB, or RGB and alpha',
    group: data,
    defaultText: 'those of the files',
  },
  flip: { kind: flag(), description: 'mirror images left to right at random', group: data },
  strict: { kind: flag(), description: 'fail on the first file that cannot be used', group: data },
  cacheDir: {
    kind: text('a folder'),
    description: 'where decoded images are kept',
    group: data,
    defaultText: '$DIFFUSE_CACHE, else ~/.cache/diffuse',
  },

  modelChannels: { kind: integers(), description: 'channels of each level, the finest first', group: model },
  layers: { kind: integer(1, 256), description: 'residual blocks a level', group: model },
  attention: {
    kind: integers({ least: 0 }),
    description: 'heights of the feature maps with self-attention, e.g. 16; or none',
    group: model,
  },
  headChannels: {
    kind: integer(1),
    description: 'channels of an attention head',
    group: model,
    defaultText: 'one head',
  },
  dropout: { kind: share(), description: 'share of activations dropped', group: model },
  dropClass: {
    kind: share(),
    description: 'share of the labels that are left out, usually 0.1: what --guidance of sample needs',
    group: model,
  },
  offsetNoise: {
    kind: atLeastZero(),
    description: 'deviation of noise that shifts a whole channel, e.g. 0.1: lets a model learn brightness',
    group: diffusion,
  },
  noisy: {
    kind: flag(),
    description: 'a classifier of noisy images that is told the noise level: for classifier guidance',
    group: model,
  },
  variance: {
    kind: oneOf(['fixed', 'learned']),
    description: 'whether the model predicts the variance of a step, too',
    group: model,
    defaultText: 'learned with --loss hybrid or vlb, else fixed',
  },
  selfConditioning: {
    kind: flag(),
    description: 'tell the model its own estimate of the clean image, half of the time in training',
    group: model,
  },

  schedule: {
    kind: scheduleChoice(),
    description: 'noise schedule, or one of your own: betas, alphaBars or sigmas in a JSON file',
    group: diffusion,
  },
  scheduleOptions: {
    kind: namedNumbers(),
    description: 'parameters of the schedule, e.g. betaStart=0.0001,betaEnd=0.02',
    group: diffusion,
    defaultText: "the schedule's own",
  },
  timesteps: {
    kind: integer(1, 1_000_000),
    description: 'noise levels',
    group: diffusion,
    defaultText: '1000, or those of a JSON file',
  },
  predict: { kind: oneOf(namesOf(targets)), description: 'what the network predicts', group: diffusion },
  weighting: { kind: oneOf(namesOf(weightings)), description: 'how much each noise level counts', group: diffusion },
  weightingOptions: {
    kind: namedNumbers(),
    description: 'parameters of the weighting, e.g. gamma=5',
    group: diffusion,
    defaultText: "the weighting's own",
  },
  loss: {
    kind: oneOf(namesOf(diffusionLosses)),
    description: 'weighted squared error; that and the variational bound; the bound alone',
    group: diffusion,
    defaultText: 'hybrid with --variance learned, else simple',
  },
  timestepSampling: {
    kind: oneOf(namesOf(timestepSamplings)),
    description: 'draw all noise levels evenly, or those more often that have large losses',
    group: diffusion,
  },

  steps: {
    kind: integer(1),
    description: 'length of the run in optimizer steps',
    group: training,
    defaultText: `${defaultSteps}`,
  },
  epochs: { kind: positive(), description: 'length of the run in passes over the data', group: training },
  minutes: {
    kind: positive(),
    description: 'stop after so many minutes of training; without --steps and --epochs the steps are measured to fit',
    group: training,
  },
  batchSize: { kind: integer(1, 65_536), description: 'images a forward pass', group: training },
  accumulate: { kind: integer(1, 65_536), description: 'forward passes a step', group: training },
  lr: { kind: positive(), description: 'learning rate at its peak', group: training },
  lrSchedule: {
    kind: oneOf(learningRateShapes),
    description: 'constant, or half a cosine down to 0',
    group: training,
  },
  warmup: { kind: integer(0), description: 'steps in which the learning rate rises from 0', group: training },
  weightDecay: { kind: atLeastZero(), description: 'decoupled weight decay of AdamW', group: training },
  beta1: { kind: share(), description: "decay of AdamW's first moment", group: training },
  beta2: { kind: share(), description: "decay of AdamW's second moment", group: training },
  epsilon: { kind: positive(), description: "added to the root of AdamW's second moment", group: training },
  clipNorm: { kind: atLeastZero(), description: 'largest length of the gradient; 0 does not clip', group: training },
  ema: { kind: share(), description: 'decay of the average of the weights; 0 keeps none', group: training },
  seed: { kind: seedKind, description: 'decides the weights, the order of the images and all noise', group: training },

  checkpointEvery: { kind: integer(0), description: 'steps between checkpoints; 0: only at the end', group: run },
  previewEvery: { kind: integer(0), description: 'steps between previews; 0: none', group: run },
  ...trainEvaluationSettings,
  device: deviceSetting(run),
  tf32: tf32Setting(run),
  threads: {
    kind: integer(1, 1024),
    description: 'threads that compute; results do not depend on it',
    group: run,
    defaultText: 'all cores',
  },
  precision: {
    kind: oneOf(namesOf(precisions)),
    description: 'number format of the computation; weights are float32 in each (see below)',
    group: run,
  },
};

/** Settings that a resumed run may change: they leave the result of each step as it is (another device but for the last
 * bits, tf32 but for what it rounds). */
export const changeableOnResume: ReadonlySet<TrainSettingName> = new Set([
  // What the images are, their fingerprint in the checkpoint decides: they may have moved.
  'data',
  'labels',
  'cacheDir',
  'steps',
  'epochs',
  'minutes',
  'checkpointEvery',
  'previewEvery',
  ...(Object.keys(trainEvaluationSettings) as (keyof TrainEvaluationSettings)[]),
  'device',
  'tf32',
  'threads',
]);

function namesOf<Name extends string>(registry: Readonly<Record<Name, unknown>>): readonly Name[] {
  return Object.keys(registry) as Name[];
}
