import { usageError } from '../failure.ts';
import type { TrainConfig } from './config-file.ts';
import { kebabCase } from './kinds.ts';
import { presets } from './presets.ts';
import { checkArrays, lengthOf } from './schedule-choice.ts';
import { chooseTrainMetrics } from './train-evaluation-settings.ts';
import {
  changeableOnResume,
  classifierDefaults,
  type TrainSettingName,
  type TrainSettings,
  trainDefaults,
} from './train-settings.ts';

/** The settings of a run, with the preset they began from. */
export interface ResolvedConfig extends TrainConfig {
  readonly settings: TrainSettings;
}

/** The settings that say how long a run is. A source that gives any of them replaces what weaker sources said. */
const lengths = ['steps', 'epochs', 'minutes'] as const;

/**
 * Puts the sources of settings together: a flag beats the configuration file, which beats the preset, which beats the defaults.
 *
 * @throws Failure for settings that exclude each other.
 */
export function resolveSettings(flags: TrainConfig, file: TrainConfig = { settings: {} }): ResolvedConfig {
  const preset = flags.preset ?? file.preset;
  const base = preset === undefined ? {} : (presets[preset]?.settings ?? {});
  const task = flags.settings.task ?? file.settings.task ?? base.task;
  const settings: TrainSettings = { ...trainDefaults };
  for (const layer of [task === 'classifier' ? classifierDefaults : {}, base, file.settings, flags.settings]) {
    if (lengths.some((name) => layer[name] !== undefined)) for (const name of lengths) delete settings[name];
    Object.assign(settings, layer);
  }
  takeArrays(settings, [file.settings, flags.settings]);
  checkTogether(settings);
  checkTask(settings);
  chooseTrainMetrics(settings);
  settings.classes ??= settings.labels === undefined ? 'none' : 'labels';
  if (settings.task === 'diffusion') {
    settings.variance ??= (settings.loss ?? 'simple') === 'simple' ? 'fixed' : 'learned';
    settings.loss ??= settings.variance === 'learned' ? 'hybrid' : 'simple';
  }
  return preset === undefined ? { settings } : { preset, settings };
}

/**
 * The settings of a resumed run: those it was begun with, and the flags that may change.
 *
 * @param written the configuration in the run's folder.
 * @throws Failure naming a flag that would change the result.
 */
export function resumeSettings(flags: TrainConfig, written: TrainConfig, path: string): ResolvedConfig {
  const begun = resolveSettings({ settings: {} }, written);
  if (flags.preset !== undefined && flags.preset !== begun.preset) throw refused('preset', begun.preset, path);
  for (const [name, value] of Object.entries(flags.settings) as [TrainSettingName, unknown][]) {
    if (changeableOnResume.has(name) || same(value, begun.settings[name])) continue;
    throw refused(name, begun.settings[name], path);
  }
  const settings = { ...begun.settings, ...flags.settings };
  // Steps and epochs are two ways to say one thing; a limit in minutes goes with either.
  if (flags.settings.steps !== undefined && flags.settings.epochs === undefined) delete settings.epochs;
  if (flags.settings.epochs !== undefined && flags.settings.steps === undefined) delete settings.steps;
  checkTogether(settings);
  chooseTrainMetrics(settings);
  return { ...begun, settings };
}

function refused(name: string, value: unknown, path: string): Error {
  const shown = Array.isArray(value) ? value.join(',') : typeof value === 'object' ? 'another' : String(value);
  const was = value === undefined ? 'it was not set' : `it was ${shown}`;
  return usageError(
    `--${kebabCase(name)} cannot change when a run is resumed (${was}, see ${path}); leave it out, or begin a new run`,
  );
}

/** A schedule of one's own says all there is to say of the noise levels: a preset's number and parameters go, what was given is refused. */
function takeArrays(settings: TrainSettings, given: readonly Partial<TrainSettings>[]): void {
  const { schedule } = settings;
  if (typeof schedule === 'string') return;
  for (const { scheduleOptions, timesteps } of given) checkArrays(schedule, scheduleOptions, timesteps);
  settings.timesteps = lengthOf(schedule);
  settings.scheduleOptions = {};
}

function checkTogether({ steps, epochs, classes, labels }: TrainSettings): void {
  if (steps !== undefined && epochs !== undefined) {
    throw usageError('--steps and --epochs both say how long the run is; give one of them');
  }
  if (classes === 'labels' && labels === undefined) {
    throw usageError('--classes labels needs --labels FILE, the labels of an IDX file');
  }
  if (labels !== undefined && classes !== undefined && classes !== 'labels') {
    throw usageError(`--labels goes with --classes labels, not with --classes ${classes}`);
  }
}

/** Refuses settings that mean nothing for what is trained. */
function checkTask(settings: TrainSettings): void {
  const { task, labels, classes, dropClass, offsetNoise, noisy, attention, headChannels } = settings;
  const labelled = classes === undefined ? labels !== undefined : classes !== 'none';
  const advice = 'give --labels FILE with an IDX file, or --classes folders';
  if (task === 'classifier') {
    refuseDenoising(settings);
    if (!labelled) throw usageError(`--task classifier learns from labels: ${advice}`);
    if (dropClass > 0) throw usageError('--drop-class is for diffusion models: a classifier needs every label');
    if (offsetNoise > 0) throw usageError('--offset-noise is for diffusion models');
    if (attention.length > 0 || headChannels !== undefined) {
      throw usageError('--attention and --head-channels are for diffusion models: a classifier has no attention');
    }
    return;
  }
  checkLoss(settings);
  if (noisy) throw usageError('--noisy goes with --task classifier: a diffusion model sees noisy images anyway');
  if (dropClass > 0 && !labelled) throw usageError(`--drop-class needs labels to leave out: ${advice}`);
}

/** Refuses what only a denoiser can be trained with. */
function refuseDenoising({ variance, loss, selfConditioning, timestepSampling }: TrainSettings): void {
  const given = { variance, loss, selfConditioning: selfConditioning || undefined };
  const name = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  if (name) throw usageError(`--${kebabCase(name)} is for diffusion models`);
  if (timestepSampling !== 'uniform') throw usageError('--timestep-sampling is for diffusion models');
}

/** The loss and what the model says of its variance must fit. */
function checkLoss({ variance, loss, weighting }: TrainSettings): void {
  if (variance === 'learned' && loss === 'simple') {
    throw usageError('--variance learned needs --loss hybrid or vlb: the loss simple does not teach a variance');
  }
  if (variance === 'fixed' && loss !== undefined && loss !== 'simple') {
    throw usageError(`--loss ${loss} needs --variance learned: the model must predict the variance that it teaches`);
  }
  if (loss === 'vlb' && weighting !== 'simple') {
    throw usageError('--weighting does not go with --loss vlb, which has the weights of the variational bound');
  }
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
