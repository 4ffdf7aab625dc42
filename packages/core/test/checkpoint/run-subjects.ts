import { join } from 'node:path';
import type { ModelKind } from '../../src/checkpoint/model-kinds.ts';
import { type SaveRunOptions, saveRun } from '../../src/checkpoint/run.ts';
import type { RunKind } from '../../src/checkpoint/run-location.ts';
import { gaussianDiffusion } from '../../src/diffusion/gaussian.ts';
import { discreteDiffusion } from '../../src/discrete/discrete-diffusion.ts';
import { tokenObjective } from '../../src/discrete/token-objective.ts';
import { tokenUNet } from '../../src/discrete/token-unet.ts';
import { autoencodingObjective } from '../../src/latent/autoencoding-objective.ts';
import { autoencoder } from '../../src/models/autoencoder.ts';
import { classifier } from '../../src/models/classifier.ts';
import { mlp } from '../../src/models/mlp.ts';
import { unet1d } from '../../src/models/unet1d.ts';
import { UNet2D } from '../../src/models/unet2d.ts';
import { videoUNet } from '../../src/models/video-unet.ts';
import type { Device } from '../../src/native/device.ts';
import { cosineSchedule } from '../../src/schedules/index.ts';
import type { Dataset, DataType } from '../../src/training/dataset.ts';
import { classification } from '../../src/training/objectives/classification.ts';
import { type CommonTrainOptions, type Training, train } from '../../src/training/train.ts';
import type { TrainingState } from '../../src/training/training-state.ts';
import { deterministic } from '../training/tiny.ts';
import { scratchFolder } from './folders.ts';

/** Samples that are numbers of a pattern: floats around 0, or tokens 0 … 4. */
export function pattern(shape: readonly number[], dtype: DataType): Dataset {
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    shape,
    dtype,
    count: 12,
    fingerprint: `pattern ${shape.join()}`,
    labels: Int32Array.from({ length: 12 }, (_, i) => i % 3),
    classNames: ['a', 'b', 'c'],
    async read(indices, target) {
      indices.forEach((index, row) => {
        for (let i = 0; i < size; i++) {
          target[row * size + i] = dtype === 'i32' ? (index + i) % 5 : Math.sin(index * 1.3 + i);
        }
      });
    },
  };
}

/** How far a training goes, and from where. */
export type Length = Pick<CommonTrainOptions, 'steps' | 'resume'>;

/** A small model of a kind: how it is trained, and what is saved of it beside its state. */
export interface Subject<K extends RunKind = RunKind> {
  readonly kind: K;
  readonly data: Dataset;
  readonly parts: WithoutState<SaveRunOptions>;
  readonly train: (device: Device, length: Length) => Training;
}

type WithoutState<T> = T extends unknown ? Omit<T, 'state' | 'fingerprint' | 'seed'> : never;

/** The Gaussian diffusion of all of them. */
export const diffusion = gaussianDiffusion({ schedule: cosineSchedule({ steps: 50 }), predict: 'v' });
/** Of every training. */
export const seed = 7;

const told = { classes: 3, nullClass: true } as const;
const common = { batchSize: 4, ema: 0.9, seed };

function denoiser<K extends 'mlp' | 'unet1d' | 'video-unet' | 'unet2d'>(
  kind: K,
  model: (WithoutState<SaveRunOptions> & { kind?: K })['model'] & { readonly kind: K },
): Subject<K> {
  const data = pattern(model.shape, 'f32');
  const parts = { model: model as UNet2D, diffusion, classNames: data.classNames };
  return {
    kind,
    data,
    parts,
    train: (device, length) =>
      train({ ...common, ...length, device, data, model: parts.model, diffusion, dropClass: 0.3 }),
  };
}

/** A fresh model of each kind. */
export const subjects: Readonly<Record<ModelKind, () => Subject>> = {
  unet2d: () =>
    denoiser('unet2d', new UNet2D({ shape: [4, 4, 1], channels: [4, 8], layers: 1, dropout: 0.1, ...told })),
  mlp: () => denoiser('mlp', mlp({ shape: [3], width: 8, layers: 2, ...told })),
  unet1d: () => denoiser('unet1d', unet1d({ shape: [8, 2], channels: [4, 8], attention: true, dropout: 0.1, ...told })),
  'video-unet': () => denoiser('video-unet', videoUNet({ shape: [3, 4, 4, 1], channels: [4, 8], ...told })),
  'token-unet': () => {
    const process = discreteDiffusion({ tokens: 5, transition: 'uniform', steps: 9 });
    const model = tokenUNet({ length: 4, diffusion: process, channels: [4, 8], attention: true, dropout: 0.1 });
    const data = pattern([4], 'i32');
    const objective = tokenObjective(process);
    return {
      kind: 'token-unet',
      data,
      parts: { model, diffusion: process },
      train: (device, length) => train({ ...common, ...length, device, data, model, objective }),
    };
  },
  classifier: () => {
    const model = classifier({ shape: [4, 4, 1], classes: 3, channels: [4, 8], timeConditioned: true });
    const data = pattern([4, 4, 1], 'f32');
    const objective = classification({ diffusion });
    return {
      kind: 'classifier',
      data,
      parts: { model, classNames: data.classNames },
      train: (device, length) => train({ ...common, ...length, device, data, model, objective }),
    };
  },
  autoencoder: () => {
    const model = autoencoder({ shape: [4, 4, 1], channels: [4, 8], latentChannels: 2 });
    const data = pattern([4, 4, 1], 'f32');
    const objective = autoencodingObjective();
    return {
      kind: 'autoencoder',
      data,
      parts: { model },
      train: (device, length) => train({ ...common, ...length, device, data, model, objective }),
    };
  },
};

/** Steps of a whole training. */
export const steps = 5;

/** Saves a run. */
export const save = (folder: string, { parts, data }: Subject, state: TrainingState): Promise<void> =>
  saveRun(folder, { ...parts, state, fingerprint: data.fingerprint, seed } as SaveRunOptions);

/** Trains up to a step and saves; returns what the steps reported. */
export async function trainTo(
  until: number,
  subject: Subject,
  { device, folder, resume }: { device: Device; folder: string; resume?: TrainingState },
): Promise<string[]> {
  const training = subject.train(device, { steps, resume });
  const log: string[] = [];
  for await (const progress of training) {
    log.push(deterministic(progress));
    if (progress.step < until) continue;
    await save(folder, subject, training.state);
    break;
  }
  return log;
}

/** The folder of a run of two steps. */
export async function savedRun(device: Device, kind: ModelKind): Promise<string> {
  const folder = join(await scratchFolder(), 'run');
  await trainTo(2, subjects[kind](), { device, folder });
  return folder;
}
