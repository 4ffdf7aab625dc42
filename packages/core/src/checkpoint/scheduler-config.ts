import { isDeepStrictEqual } from 'node:util';
import { boolean, integer, isRecord, nullable, number, oneOf, type Rule, show } from '../config/value-rules.ts';
import { type TargetName, targets } from '../diffusion/targets.ts';
import { DIFFUSERS_VERSION } from '../models/unet2d-config.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Clip } from '../samplers/index.ts';
import { type ScheduleDescription, scheduleFromDiffusers, scheduleToDiffusers } from './schedule-config.ts';
import { knownKeys, type SchedulerSampler, schedulerClasses } from './scheduler-classes.ts';

export {
  describeSchedule,
  type ScheduleDescription,
  type SchedulerScheduleName,
  scheduleFromDescription,
} from './schedule-config.ts';

/** What a `scheduler_config.json` says, in diffuse's words. */
export interface SchedulerDescription {
  /** The class of the file, by the sampler of ours that does what it does; see {@link schedulerClasses}. */
  readonly sampler: SchedulerSampler;
  /** The noise schedule. */
  readonly schedule: ScheduleDescription;
  /** What the network predicts. diffusers knows 'eps', 'x0' and 'v'; it loads the others and refuses to sample. */
  readonly predict: TargetName;
  /**
   * Variance of a DDPM step; 'fixed-small' for the other samplers, DDIM with eta = 1 has it. With 'learned-range' the
   * network predicts it, in as many channels again; the DPM-Solvers leave those alone.
   */
  readonly variance: 'fixed-small' | 'fixed-large' | 'learned-range';
  /** Bound of the estimate of x0; Infinity does not clip, as the samplers in sigma do but for 'heun'. */
  readonly clip: Clip;
  /** How the timesteps of a shorter sampling lie among those of the schedule. */
  readonly spacing: 'leading' | 'trailing' | 'linspace';
  /** Added to every timestep of the spacing 'leading', under `compat: 'diffusers'`. */
  readonly stepsOffset: number;
  /** Whether a DDIM sampling ends at alphaBar = 1, or under `compat: 'diffusers'` at that of the first timestep; else true. */
  readonly setAlphaToOne: boolean;
  /** Where a sampling in sigma ends under `compat: 'diffusers'`; absent: at clean data, sigma = 0. */
  readonly finalSigma?: 'sigma-min';
  /** Whether the noise levels are spaced as those of 'karras'; absent: as `spacing` says. */
  readonly karras?: true;
  /** Whether the file's word for a fixed variance ends in `_log`; absent: it does not. */
  readonly logVariance?: true;
}

/** The words for what the network predicts; where diffusers has none, ours. */
const predictions: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(targets).map((name) => [name, name])),
  eps: 'epsilon',
  x0: 'sample',
  v: 'v_prediction',
};

const variances = {
  'fixed-small': 'fixed_small',
  'fixed-large': 'fixed_large',
  'learned-range': 'learned_range',
} as const;

/**
 * What the words of a file mean. diffusers keeps the logarithm of the two that end in `_log` and samples with the same
 * variance, or means to: its 'fixed_large_log' ends in NaN (huggingface/diffusers#14569).
 */
const varianceWords: Readonly<Record<string, SchedulerDescription['variance']>> = {
  fixed_small: 'fixed-small',
  fixed_large: 'fixed-large',
  learned_range: 'learned-range',
  fixed_small_log: 'fixed-small',
  fixed_large_log: 'fixed-large',
};

const positive: Rule<number> = number('a number above 0', (value) => value > 0);
const share: Rule<number> = number('a number from 0 to 1', (value) => value >= 0 && value <= 1);
const atLeastOne: Rule<number> = number('a number, at least 1', (value) => value >= 1);
const offset: Rule<number> = integer(0, 1_000_000);
const spacingRule = oneOf('leading', 'trailing', 'linspace');
const endRule = oneOf('zero', 'sigma_min');
const algorithms = oneOf('dpmsolver++', 'sde-dpmsolver++');

/** The name of diffusers for a scheduler: `DDPMScheduler` and so on. */
export function schedulerClassName(sampler: SchedulerDescription['sampler']): string {
  return Object.hasOwn(schedulerClasses, sampler)
    ? schedulerClasses[sampler].name
    : refuse('sampler', sampler, Object.keys(schedulerClasses).join(' or '));
}

/**
 * The content of `scheduler_config.json` for a description.
 *
 * @returns a plain object for `JSON.stringify`, keys in alphabetical order as diffusers writes them.
 * @throws DiffuseError `ERR_ARGUMENT` naming the field for which diffusers, or the class, has no counterpart.
 */
export function schedulerToDiffusers(description: SchedulerDescription): Record<string, unknown> {
  const className = schedulerClassName(description.sampler);
  const { keys, fixed, schedules } = schedulerClasses[description.sampler];
  const written: Record<string, unknown> = {
    ...clipToDiffusers(description, className),
    final_sigmas_type: description.finalSigma === 'sigma-min' ? 'sigma_min' : 'zero',
    prediction_type: translate('predict', predictions, description.predict),
    set_alpha_to_one: demand('setAlphaToOne', description.setAlphaToOne, boolean),
    steps_offset: demand('stepsOffset', description.stepsOffset, offset),
    timestep_spacing: demand('spacing', description.spacing, spacingRule),
    use_karras_sigmas: description.karras ?? false,
    variance_type: varianceToDiffusers(description),
  };
  const own = Object.entries({ ...keys, ...fixed })
    .map(([key, value]) => [key, Object.hasOwn(written, key) ? written[key] : value] as const)
    // Null where Python has -Infinity: the class's default, if nothing is said.
    .filter(([key]) => key !== 'lambda_min_clipped');
  const schedule = scheduleToDiffusers(description.schedule, schedules);
  if (!Object.hasOwn(keys, 'rescale_betas_zero_snr')) {
    if (schedule.rescale_betas_zero_snr === true) refuse('zeroTerminalSnr', 1, `0, ${className} has no counterpart`);
    delete schedule.rescale_betas_zero_snr;
  }
  const config = {
    _class_name: className,
    _diffusers_version: DIFFUSERS_VERSION,
    ...Object.fromEntries(own),
    ...schedule,
  };
  return Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The keys of clipping, as far as the class has them. */
function clipToDiffusers({ clip, sampler }: SchedulerDescription, className: string): Record<string, unknown> {
  const { keys } = schedulerClasses[sampler];
  if (typeof clip === 'object') {
    if (!('thresholding' in keys)) refuse('clip', clip, `a number, ${className} has no dynamic thresholding`);
    const { quantile, max = Number.POSITIVE_INFINITY } = clip;
    return {
      dynamic_thresholding_ratio: demand('clip.quantile', quantile, share),
      // Without a bound in diffusers too.
      sample_max_value: max === Number.POSITIVE_INFINITY ? null : demand('clip.max', max, atLeastOne),
      thresholding: true,
    };
  }
  if (clip === Number.POSITIVE_INFINITY) return { clip_sample: false };
  if (!('clip_sample' in keys)) refuse('clip', clip, `Infinity, ${className} does not clip`);
  return { clip_sample: true, clip_sample_range: demand('clip', clip, positive) };
}

function varianceToDiffusers({ sampler, variance, logVariance }: SchedulerDescription): string | null {
  const word = translate('variance', variances, variance);
  if (sampler !== 'ddpm') return variance === 'learned-range' ? word : null;
  return logVariance && variance !== 'learned-range' ? `${word}_log` : word;
}

/**
 * The description from the content of a `scheduler_config.json` of one of {@link schedulerClasses}. Keys that are missing take the
 * defaults of diffusers' classes, keys of other classes are left alone as diffusers does, unknown keys are ignored when they begin
 * with `_` or are null or false.
 *
 * @param json the parsed file.
 * @param source what to call the file in an error.
 * @throws DiffuseError `ERR_CHECKPOINT`: one line with file, key, what came and what would be right.
 */
export function schedulerFromDiffusers(json: unknown, source = 'scheduler_config.json'): SchedulerDescription {
  const fail = (problem: string): never => {
    throw new DiffuseError('ERR_CHECKPOINT', `${source}: ${problem}`);
  };
  if (!isRecord(json)) return fail(`is ${show(json)}; expected an object`);
  const sampler = samplerOf(json, fail);
  const { name: className, keys, fixed, scheduleDefaults } = schedulerClasses[sampler];
  // A class that does not know the key leaves it alone.
  const rescale = Object.hasOwn(keys, 'rescale_betas_zero_snr') ? {} : { rescale_betas_zero_snr: false };
  const values: Readonly<Record<string, unknown>> = { ...scheduleDefaults, ...json, ...rescale };
  const unread = new Set(Object.keys(json).filter((key) => !key.startsWith('_') && !knownKeys.has(key)));
  const take = <T>(key: string, rule: Rule<T>, fallback: T): T => {
    unread.delete(key);
    const value = Object.hasOwn(values, key) ? values[key] : fallback;
    return rule.accepts(value) ? value : fail(`${key} is ${show(value)}; expected ${rule.expected}`);
  };
  /** The value of a key that the class reads; undefined for one that it does not. */
  const read = <T>(key: string, rule: Rule<T>): T | undefined =>
    Object.hasOwn(keys, key) ? take(key, rule, keys[key] as T) : undefined;

  for (const [key, only] of Object.entries(fixed)) {
    const value = values[key] ?? null;
    if (Object.hasOwn(json, key) && !isDeepStrictEqual(value, only)) {
      fail(`${key} is ${show(value)}; of ${className} diffuse has ${show(only)} alone`);
    }
  }
  const schedule = scheduleFromDiffusers(json, { take, fail });
  // Files from before `prediction_type` say `predict_epsilon: false` when the network predicts the clean image.
  const implied = take('predict_epsilon', boolean, true) ? predictions.eps : predictions.x0;
  const prediction = take('prediction_type', oneOf(...Object.values<string>(predictions)), implied as string);
  const variance = readVariance(sampler, take);
  const karras = read('use_karras_sigmas', nullable(boolean)) ?? false;
  const end = read('final_sigmas_type', endRule) ?? 'zero';
  if (sampler === 'unipc' && karras && end === 'sigma_min') {
    fail(
      'final_sigmas_type is "sigma_min" with use_karras_sigmas; UniPC would end with a step of no length: "zero" is right',
    );
  }
  const description: SchedulerDescription = {
    sampler,
    schedule,
    predict: Object.keys(predictions).find((name) => predictions[name] === prediction) as TargetName,
    ...variance,
    clip: readClip(read),
    spacing: take('timestep_spacing', spacingRule, keys.timestep_spacing as SchedulerDescription['spacing']),
    stepsOffset: take('steps_offset', offset, 0),
    setAlphaToOne: read('set_alpha_to_one', boolean) ?? true,
    ...(end === 'sigma_min' && { finalSigma: 'sigma-min' }),
    ...(karras && { karras }),
  };
  for (const key of unread) {
    if (json[key] === null || json[key] === false) continue;
    fail(`${key} is ${show(json[key])}; diffuse does not know this key, expected it to be absent or null`);
  }
  return description;
}

type Take = <T>(key: string, rule: Rule<T>, fallback: T) => T;

/** The sampler of a file's class. */
function samplerOf(json: Readonly<Record<string, unknown>>, fail: (problem: string) => never): SchedulerSampler {
  const className = json._class_name ?? schedulerClasses.ddpm.name;
  const samplers = Object.keys(schedulerClasses) as SchedulerSampler[];
  const found = samplers.find((sampler) => schedulerClasses[sampler].name === className);
  if (found === undefined) {
    const names = new Set(Object.values(schedulerClasses).map(({ name }) => `"${name}"`));
    return fail(`_class_name is ${show(className)}; expected ${[...names].join(' or ')}`);
  }
  if (found !== 'dpm++2m') return found;
  const algorithm = json.algorithm_type ?? 'dpmsolver++';
  if (!algorithms.accepts(algorithm)) {
    return fail(`algorithm_type is ${show(algorithm)}; expected ${algorithms.expected}`);
  }
  return algorithm === 'dpmsolver++' ? 'dpm++2m' : 'dpm++2m-sde';
}

/** Thresholding comes before clipping, and a class that has neither does not clip. */
function readClip(read: <T>(key: string, rule: Rule<T>) => T | undefined): Clip {
  if (read('thresholding', boolean)) {
    const quantile = read('dynamic_thresholding_ratio', share) as number;
    return { quantile, max: read('sample_max_value', nullable(atLeastOne)) ?? Number.POSITIVE_INFINITY };
  }
  const range = read('clip_sample_range', positive);
  return read('clip_sample', boolean) && range !== undefined ? range : Number.POSITIVE_INFINITY;
}

function readVariance(sampler: SchedulerSampler, take: Take): Pick<SchedulerDescription, 'variance' | 'logVariance'> {
  if (sampler === 'ddpm') {
    const word = take('variance_type', oneOf(...Object.keys(varianceWords)), 'fixed_small');
    const variance = varianceWords[word] as SchedulerDescription['variance'];
    return { variance, ...(word.endsWith('_log') && { logVariance: true }) };
  }
  if (!Object.hasOwn(schedulerClasses[sampler].keys, 'variance_type')) return { variance: 'fixed-small' };
  // A fixed variance stands there from a conversion between the classes, and is not looked at.
  const words = [...Object.keys(varianceWords).filter((word) => word.startsWith('fixed')), variances['learned-range']];
  const word = take('variance_type', nullable(oneOf(...words)), null);
  return { variance: word === variances['learned-range'] ? 'learned-range' : 'fixed-small' };
}

function refuse(field: string, value: unknown, expected: string): never {
  throw new DiffuseError('ERR_ARGUMENT', `diffusers scheduler: ${field} is ${show(value)}; expected ${expected}`);
}

function demand<T>(field: string, value: unknown, rule: Rule<T>): T {
  return rule.accepts(value) ? value : refuse(field, value, rule.expected);
}

function translate<K extends string>(field: string, words: Readonly<Record<K, string>>, name: K): string {
  return Object.hasOwn(words, name) ? words[name] : refuse(field, name, Object.keys(words).join(' or '));
}
