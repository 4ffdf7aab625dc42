import {
  type Compat,
  compats,
  createSampler,
  type DdpmVariance,
  ddpmVariances,
  type LoadedRun,
  type Sampler,
  type SamplerName,
  type SamplerOptions,
  type SpacingName,
  samplers,
  schedulerSampler,
  spacings,
} from '@diffuse/core';
import { usageError } from '../failure.ts';
import {
  atLeastZero,
  checkValue,
  flag,
  integer,
  kebabCase,
  number,
  oneOf,
  orInfinity,
  positive,
  type Setting,
  type SettingTable,
  share,
  text,
} from './kinds.ts';

/** How images are drawn. */
export interface DrawingSettings {
  sampler?: SamplerName;
  steps?: number;
  spacing?: SpacingName;
  eta?: number;
  variance?: DdpmVariance;
  clip?: number;
  churn?: number;
  gam?: number;
  mu?: number;
  compat?: Compat;
  class?: string;
  guidance?: number;
}

/** What a command that draws images takes: `sample`, `trajectory`, `evaluate`. */
export interface SamplerSettings extends DrawingSettings {
  model: string;
  seed?: number;
  ema?: boolean;
  device?: 'auto' | 'cpu';
  threads?: number;
}

const sampling = 'Sampling:';
const run = 'Run:';

/** Steps of a sampler that does not need all of the diffusion's. */
const ddimSteps = 50;

/** The flags of {@link DrawingSettings}. */
const drawingSettings: SettingTable<DrawingSettings> = {
  sampler: {
    kind: oneOf(Object.keys(samplers) as SamplerName[]),
    description: 'way from noise to images',
    group: sampling,
    defaultText: 'ddim',
  },
  steps: {
    kind: integer(1),
    description: 'steps an image; one network evaluation each, two for heun',
    group: sampling,
    defaultText: `${ddimSteps}; every timestep for ddpm`,
  },
  spacing: {
    kind: oneOf(Object.keys(spacings) as SpacingName[]),
    description: 'how the timesteps lie',
    group: sampling,
    defaultText: "the sampler's best; with --compat diffusers the model's own",
  },
  eta: {
    kind: number('from 0 to 1', { minimum: 0, maximum: 1 }),
    description: 'share of fresh noise of ddim, euler-ancestral and dpm++2m-sde',
    group: sampling,
    defaultText: '0 for ddim, else 1',
  },
  variance: {
    kind: oneOf(Object.keys(ddpmVariances) as DdpmVariance[]),
    description: 'variance of a ddpm step',
    group: sampling,
    defaultText: "the model's own",
  },
  clip: {
    kind: orInfinity(positive()),
    description: 'bound of the estimate of the clean image; Infinity does not clip',
    group: sampling,
    defaultText: "the model's own",
  },
  churn: {
    kind: atLeastZero(),
    description: 'fresh noise of heun over all steps, S_churn of the paper',
    group: sampling,
    defaultText: '0',
  },
  gam: {
    kind: positive(),
    description: 'weight of the present noise estimate of momentum against the one before',
    group: sampling,
    defaultText: '2',
  },
  mu: { kind: share(), description: 'share of noise that momentum draws afresh', group: sampling, defaultText: '0' },
  compat: {
    kind: oneOf(Object.keys(compats) as Compat[]),
    description: 'do what the formulas say, or what diffusers does where it differs',
    group: sampling,
    defaultText: 'strict',
  },
  class: {
    kind: text('the number or name of a class'),
    description: 'number or name of a class; several, with commas between them, take turns',
    group: sampling,
    defaultText: 'all take turns',
  },
  guidance: {
    kind: number('of any sign', {}),
    description: 'weight of the class; 1 for none. The model must have been trained with --drop-class',
    group: sampling,
    defaultText: '1',
  },
};

/** The names of {@link DrawingSettings}. */
export const drawingNames: readonly (keyof DrawingSettings)[] = Object.keys(
  drawingSettings,
) as (keyof DrawingSettings)[];

/** The flags of {@link SamplerSettings}. */
export const samplerSettings: SettingTable<SamplerSettings> = {
  model: {
    kind: text('a folder'),
    description: 'folder of a run, or any diffusers folder of a UNet2DModel',
    group: sampling,
    required: true,
  },
  ...drawingSettings,
  seed: { kind: integer(0), description: 'decides the images', group: sampling, defaultText: '0' },
  ema: {
    kind: flag(),
    description: 'use the average of the weights; --no-ema uses the weights themselves',
    group: sampling,
    defaultText: 'true',
  },
  device: { kind: oneOf(['auto', 'cpu']), description: 'where to compute', group: run, defaultText: 'auto' },
  threads: { kind: integer(1, 1024), description: 'threads that compute', group: run, defaultText: 'all cores' },
};

/** The flag of commands that compute many images. */
export const batchSizeSetting: Setting<number> = {
  kind: integer(1, 65_536),
  description: 'images computed at once; the results do not depend on it',
  group: run,
  defaultText: '64',
};

/**
 * The sampler that the flags ask for; clipping and variance are those of the model's own scheduler unless a flag says otherwise, and so
 * is the spacing with `--compat diffusers`.
 *
 * @param scheduler what the model's folder says of its scheduler.
 * @throws Failure, DiffuseError `ERR_ARGUMENT` for an option that the sampler does not have.
 */
export function samplerFrom(settings: DrawingSettings, scheduler: LoadedRun['scheduler']): Sampler {
  const {
    sampler = 'ddim',
    spacing = samplers[sampler].spacing,
    eta,
    variance,
    clip,
    churn,
    gam,
    mu,
    compat,
  } = settings;
  const known: readonly string[] = samplers[sampler].options;
  for (const [name, value] of Object.entries({ eta, variance, clip, churn, gam, mu, compat })) {
    if (value === undefined || known.includes(name)) continue;
    const others = Object.keys(samplers).filter((other) =>
      samplers[other as SamplerName].options.includes(name as keyof SamplerOptions),
    );
    throw usageError(`--${kebabCase(name)} belongs to --sampler ${others.join(' or ')}, not to ${sampler}`);
  }
  const timesteps = scheduler.schedule.steps;
  const steps = checkValue(
    integer(1, timesteps),
    settings.steps ?? (sampler === 'ddpm' ? timesteps : Math.min(ddimSteps, timesteps)),
    '--steps (this model has so many timesteps)',
  );
  if (compat === 'diffusers') {
    const asked = definedOnly({ spacing: settings.spacing, clip, eta, variance, churn });
    return schedulerSampler(scheduler, { sampler, steps, compat, ...asked });
  }
  const options: SamplerOptions = { steps, spacing, clip: clip ?? scheduler.clip };
  Object.assign(options, definedOnly({ eta, churn, gam, mu }));
  if (sampler === 'ddpm') options.variance = variance ?? scheduler.variance;
  return createSampler(sampler, options);
}

/**
 * The class of each image, or undefined for a model that is told none.
 *
 * @param wanted numbers or names with commas between them; they take turns. Default: all classes.
 * @param flag what messages call it.
 * @throws Failure for a class that the model does not know.
 */
export function labelsFrom(
  wanted: string | undefined,
  count: number,
  { classes, classNames }: { classes: number | null; classNames?: readonly string[] | undefined },
  flag = '--class',
): Int32Array | undefined {
  if (classes === null) {
    if (wanted === undefined) return undefined;
    throw usageError(`${flag}: this model was trained without classes and draws what it likes; leave ${flag} out`);
  }
  const chosen = wanted === undefined ? Array.from({ length: classes }, (_, i) => i) : wanted.split(',').map(indexOf);
  return Int32Array.from({ length: count }, (_, i) => chosen[i % chosen.length] ?? 0);

  function indexOf(name: string): number {
    const named = classNames?.indexOf(name) ?? -1;
    if (named >= 0) return named;
    const index = /^\d+$/.test(name) ? Number(name) : Number.NaN;
    if (index < (classes ?? 0)) return index;
    const names = classNames && classNames.length <= 20 ? `: ${classNames.join(', ')}` : '';
    throw usageError(`${flag} must be from 0 to ${(classes ?? 1) - 1} or a name of a class${names}; got '${name}'`);
  }
}

function definedOnly(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
