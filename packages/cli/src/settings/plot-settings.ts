import type { ScheduleName } from '@diffuse/core';
import { imageSize, indices, integer, type Kind, namedNumbers, oneOf, type SettingTable, text } from './kinds.ts';
import { type NamedArrays, scheduleChoices } from './schedule-choice.ts';

/** What `plot` draws. */
export type PlotName = 'schedule' | 'snr' | 'removed' | 'posterior' | 'forward' | 'loss';

/** The flags of `plot`; each kind of picture takes some of them. */
export interface PlotFlags {
  kind: PlotName;
  out: string;
  schedule?: readonly (ScheduleName | NamedArrays)[];
  scheduleOptions?: Readonly<Record<string, number>>;
  timesteps?: number;
  model?: string;
  from?: string;
  data?: string;
  images?: readonly number[];
  resolution?: number | string;
  at?: readonly number[];
  columns?: number;
  seed?: number;
  cacheDir?: string;
  smooth?: number;
  levels?: string;
}

/** One line of the list of pictures. */
export interface PlotEntry {
  /** One line for `--help` and the docs. */
  readonly description: string;
  /** The flags that it takes besides KIND and `--out`. */
  readonly flags: readonly (keyof PlotFlags)[];
  /** Endings of the files that it is written as. */
  readonly endings: readonly string[];
}

const ofSchedules = ['schedule', 'scheduleOptions', 'timesteps', 'model'] as const;
const chart = ['.svg', '.png', '.webp'] as const;

/** Every picture by the name that the command line uses. */
export const plots: Readonly<Record<PlotName, PlotEntry>> = {
  schedule: { description: 'alphaBar, beta and sigma of schedules', flags: ofSchedules, endings: chart },
  snr: { description: 'signal-to-noise ratio of schedules', flags: ofSchedules, endings: chart },
  removed: {
    description: 'how much of the predicted noise each step of DDPM removes',
    flags: ofSchedules,
    endings: chart,
  },
  posterior: {
    description: 'mean and variance of the step back, x_0 being known, for one schedule',
    flags: ofSchedules,
    endings: chart,
  },
  forward: {
    description: 'an image on its way to noise, a row an image or a schedule',
    flags: [...ofSchedules, 'from', 'data', 'images', 'resolution', 'at', 'columns', 'seed', 'cacheDir'],
    endings: ['.png', '.webp'],
  },
  loss: {
    description: 'loss and learning rate of a run, loss by noise level',
    flags: ['model', 'smooth', 'levels'],
    endings: chart,
  },
};

const kindNames = Object.keys(plots) as PlotName[];
const kind: Kind<PlotName> = { ...oneOf(kindNames), expected: `a kind of picture (${kindNames.join(', ')})` };

const drawing = 'Picture:';
const process = 'Schedules (schedule, snr, removed, posterior, forward):';
const forward = 'Images (forward):';
const loss = 'Training (loss):';

/** The flags of {@link PlotFlags}. */
export const plotSettings: SettingTable<PlotFlags> = {
  kind: { kind, description: 'what to draw, see below', group: drawing, positional: true, required: true },
  out: {
    kind: text('a file'),
    description: 'file to write, ending in .svg, .png or .webp; forward has no .svg',
    group: drawing,
    required: true,
  },
  schedule: {
    kind: scheduleChoices(),
    description: 'schedules, with commas between them; FILE.json holds betas, alphaBars or sigmas',
    group: process,
    defaultText: 'linear,cosine; linear for posterior and forward',
  },
  scheduleOptions: {
    kind: namedNumbers(),
    description: 'parameters of the schedule, such as betaStart=0.0001',
    group: process,
    defaultText: 'those of its paper',
  },
  timesteps: {
    kind: integer(1, 100_000),
    description: 'timesteps',
    group: process,
    defaultText: '1000, or those of FILE.json',
  },
  model: {
    kind: text('the folder of a run'),
    description: "folder of a run: its schedule instead of --schedule; for loss, the run's metrics",
    group: drawing,
  },
  from: { kind: text('an image'), description: 'image file', group: forward },
  data: {
    kind: text('a folder of images or an IDX file'),
    description: 'folder of images or IDX file',
    group: forward,
  },
  images: {
    kind: indices(),
    description: 'which images of --data, from 0, with commas between them',
    group: forward,
    defaultText: '0',
  },
  resolution: {
    kind: imageSize(),
    description: 'size of the image, N or HxW; it is resized to cover it and cropped',
    group: forward,
    defaultText: 'that of the file',
  },
  at: {
    kind: indices(),
    description: 'timesteps to show, with commas between them',
    group: forward,
    defaultText: 'evenly spaced',
  },
  columns: {
    kind: integer(2, 100),
    description: 'columns, the clean image being one',
    group: forward,
    defaultText: '10',
  },
  seed: { kind: integer(0), description: 'decides the noise', group: forward, defaultText: '0' },
  cacheDir: {
    kind: text('a folder'),
    description: 'where decoded images are kept',
    group: forward,
    defaultText: 'DIFFUSE_CACHE or ~/.cache/diffuse',
  },
  smooth: {
    kind: integer(1),
    description: 'steps over which the loss is averaged',
    group: loss,
    defaultText: 'a thirtieth of all',
  },
  levels: {
    kind: text('a JSON file'),
    description: 'what diffuse evaluate --json wrote: draws loss by noise level',
    group: loss,
  },
};
