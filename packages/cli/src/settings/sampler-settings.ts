import {
  createSampler,
  type LoadedRun,
  type Precision,
  precisions,
  type Sampler,
  type SamplerName,
  type SamplerOptions,
  samplers,
  schedulerSampler,
} from '@diffuse/core';
import { usageError } from '../failure.ts';
import { type DeviceChoice, deviceSetting, tf32Setting } from './device-setting.ts';
import { type DrawingSettings, defaultSteps, drawingSettings } from './drawing-settings.ts';
import { flag, integer, kebabCase, oneOf, type Setting, type SettingTable, text } from './kinds.ts';

/** What a command that draws images takes: `sample`, `trajectory`, `evaluate`. */
export interface SamplerSettings extends DrawingSettings {
  model: string;
  seed?: number;
  ema?: boolean;
  device?: DeviceChoice;
  tf32?: boolean;
  threads?: number;
  precision?: Precision;
}

const sampling = 'Sampling:';
const run = 'Run:';

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
  device: { ...deviceSetting(run), defaultText: 'auto' },
  tf32: tf32Setting(run),
  threads: { kind: integer(1, 1024), description: 'threads that compute', group: run, defaultText: 'all cores' },
  precision: {
    kind: oneOf(Object.keys(precisions) as Precision[]),
    description: 'number format of the networks, whatever they were trained in (see below)',
    group: run,
    defaultText: 'fp32',
  },
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
  const { sampler = 'ddim', spacing = samplers[sampler].spacing, clip } = settings;
  const { eta, variance, order, churn, churnMin, churnMax, churnNoise, gam, mu, lambda, compat } = settings;
  const own = { eta, variance, order, churn, churnMin, churnMax, churnNoise, gam, mu, lambda, compat };
  const known: readonly string[] = samplers[sampler].options;
  for (const [name, value] of Object.entries(own)) {
    if (value === undefined || known.includes(name)) continue;
    const others = Object.keys(samplers).filter((other) =>
      samplers[other as SamplerName].options.includes(name as keyof SamplerOptions),
    );
    throw usageError(`--${kebabCase(name)} belongs to --sampler ${others.join(' or ')}, not to ${sampler}`);
  }
  const aboutChurn = (['churnMin', 'churnMax', 'churnNoise'] as const).find((name) => settings[name] !== undefined);
  if (aboutChurn && !churn)
    throw usageError(`--${kebabCase(aboutChurn)} says of what kind --churn is: give --churn too`);
  const steps = stepsFrom({ ...settings, sampler, spacing }, scheduler.schedule.steps);
  if (compat === 'diffusers') {
    const asked = definedOnly({ ...own, spacing: settings.spacing, clip });
    return schedulerSampler(scheduler, { sampler, steps, ...asked });
  }
  const options: SamplerOptions = { steps, spacing, clip: clip ?? scheduler.clip };
  Object.assign(options, definedOnly(own));
  if (sampler === 'ddpm') options.variance = variance ?? scheduler.variance;
  return createSampler(sampler, options);
}

/** How many steps there are: as many as `--steps` says, or as a list of timesteps has. */
function stepsFrom(
  { sampler, spacing, steps }: DrawingSettings & Pick<SamplerOptions, 'spacing'>,
  timesteps: number,
): number {
  if (typeof spacing === 'object') {
    const [first = 0] = spacing;
    if (first > timesteps - 1) {
      throw usageError(`--spacing must begin at ${timesteps - 1}, the model's last timestep, or below; got ${first}`);
    }
    if (steps !== undefined && steps !== spacing.length) {
      const count = spacing.length === 1 ? '1 timestep' : `${spacing.length} timesteps`;
      throw usageError(`--spacing has ${count}, but --steps is ${steps}; leave --steps out`);
    }
    return spacing.length;
  }
  const chosen = steps ?? (sampler === 'ddpm' ? timesteps : Math.min(defaultSteps, timesteps));
  if (chosen <= timesteps) return chosen;
  throw usageError(`--steps must be from 1 to ${timesteps}, the model's timesteps; got ${chosen}`);
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
