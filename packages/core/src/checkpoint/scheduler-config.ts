import { boolean, integer, isRecord, number, oneOf, type Rule, show } from '../config/value-rules.ts';
import { type TargetName, targets } from '../diffusion/targets.ts';
import { DIFFUSERS_VERSION } from '../models/unet2d-config.ts';
import { DiffuseError } from '../native/errors.ts';
import { type ScheduleDescription, scheduleFromDiffusers, scheduleToDiffusers } from './schedule-config.ts';

export {
  describeSchedule,
  type ScheduleDescription,
  type SchedulerScheduleName,
  scheduleFromDescription,
} from './schedule-config.ts';

/** What a `scheduler_config.json` says, in diffuse's words. */
export interface SchedulerDescription {
  /** The class of the file: `DDPMScheduler` or `DDIMScheduler`. */
  readonly sampler: 'ddpm' | 'ddim';
  /** The noise schedule. */
  readonly schedule: ScheduleDescription;
  /** What the network predicts. diffusers knows 'eps', 'x0' and 'v'; it loads the others and refuses to sample. */
  readonly predict: TargetName;
  /**
   * Variance of a DDPM step; 'fixed-small' where the sampler is 'ddim', whose eta = 1 has it. With 'learned-range' the
   * network predicts it, in as many channels again.
   */
  readonly variance: 'fixed-small' | 'fixed-large' | 'learned-range';
  /** Bound of the estimate of x0, above 0; Infinity does not clip. */
  readonly clip: number;
  /** How the timesteps of a shorter sampling lie among those of the schedule. */
  readonly spacing: 'leading' | 'trailing' | 'linspace';
  /** Added to every timestep of the spacing 'leading'. */
  readonly stepsOffset: number;
  /** Whether a DDIM sampling ends at alphaBar = 1, or at that of the first timestep; true for 'ddpm'. */
  readonly setAlphaToOne: boolean;
}

const classNames = { ddpm: 'DDPMScheduler', ddim: 'DDIMScheduler' } as const;

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

/** Keys that change nothing in DDPM and DDIM: left by other classes, or read only together with `thresholding`. */
const idleKeys = new Set([
  'dynamic_thresholding_ratio',
  'sample_max_value',
  'skip_prk_steps',
  'tensor_format',
  'timestep_values',
]);

/**
 * The content of `scheduler_config.json` for a description.
 *
 * @returns a plain object for `JSON.stringify`, keys in alphabetical order as diffusers writes them.
 * @throws DiffuseError `ERR_ARGUMENT` naming the field for which diffusers has no counterpart.
 */
export function schedulerToDiffusers(description: SchedulerDescription): Record<string, unknown> {
  const { sampler, clip } = description;
  if (clip !== Number.POSITIVE_INFINITY) demand('clip', clip, positive);
  const config = {
    _class_name: translate('sampler', classNames, sampler),
    _diffusers_version: DIFFUSERS_VERSION,
    ...scheduleToDiffusers(description.schedule),
    clip_sample: clip !== Number.POSITIVE_INFINITY,
    clip_sample_range: clip === Number.POSITIVE_INFINITY ? 1 : clip,
    dynamic_thresholding_ratio: 0.995,
    prediction_type: translate('predict', predictions, description.predict),
    sample_max_value: 1,
    ...(sampler === 'ddim' ? { set_alpha_to_one: demand('setAlphaToOne', description.setAlphaToOne, boolean) } : {}),
    steps_offset: demand('stepsOffset', description.stepsOffset, integer(0, 1_000_000)),
    thresholding: false,
    timestep_spacing: demand('spacing', description.spacing, oneOf('leading', 'trailing', 'linspace')),
    ...(sampler === 'ddpm' ? { variance_type: translate('variance', variances, description.variance) } : {}),
  };
  return Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * The description from the content of a `scheduler_config.json` of `DDPMScheduler` or `DDIMScheduler`. Keys that are
 * missing take the defaults of diffusers' classes; unknown keys are ignored when they begin with `_` or are null or false.
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
  const unread = new Set(Object.keys(json).filter((key) => !key.startsWith('_') && !idleKeys.has(key)));
  const take = <T>(key: string, rule: Rule<T>, fallback: T): T => {
    unread.delete(key);
    const value = Object.hasOwn(json, key) ? json[key] : fallback;
    return rule.accepts(value) ? value : fail(`${key} is ${show(value)}; expected ${rule.expected}`);
  };
  const word = <K extends string>(key: string, words: Readonly<Record<K, string>>, fallback: K): K => {
    const value = take(key, oneOf(...Object.values<string>(words)), words[fallback]);
    return (Object.keys(words) as K[]).find((name) => words[name] === value) as K;
  };

  const className = json._class_name ?? classNames.ddpm;
  const sampler = className === classNames.ddim ? 'ddim' : 'ddpm';
  if (className !== classNames[sampler]) {
    fail(`_class_name is ${show(className)}; expected "${classNames.ddpm}" or "${classNames.ddim}"`);
  }
  take('thresholding', { expected: 'false', accepts: (value): value is false => value === false }, false);
  const schedule = scheduleFromDiffusers(json, { take, fail });

  const clips = take('clip_sample', boolean, true);
  const range = take('clip_sample_range', positive, 1);
  const predict = word<TargetName>(
    'prediction_type',
    predictions,
    impliedPrediction(take('predict_epsilon', boolean, true)),
  );
  // DDIM reads no variance, DDPM no set_alpha_to_one; either may stand there from a conversion between the classes.
  const varianceWord = (): string => take('variance_type', oneOf(...Object.keys(varianceWords)), 'fixed_small');
  const variance = sampler === 'ddpm' ? (varianceWords[varianceWord()] as keyof typeof variances) : 'fixed-small';
  const setAlphaToOne = sampler === 'ddim' ? take('set_alpha_to_one', boolean, true) : true;
  unread.delete(sampler === 'ddim' ? 'variance_type' : 'set_alpha_to_one');
  const description: SchedulerDescription = {
    sampler,
    schedule,
    predict,
    variance,
    clip: clips ? range : Number.POSITIVE_INFINITY,
    spacing: take('timestep_spacing', oneOf('leading', 'trailing', 'linspace'), 'leading'),
    stepsOffset: take('steps_offset', integer(0, 1_000_000), 0),
    setAlphaToOne,
  };
  for (const key of unread) {
    if (json[key] === null || json[key] === false) continue;
    fail(`${key} is ${show(json[key])}; diffuse does not know this key, expected it to be absent or null`);
  }
  return description;
}

/** Files from before `prediction_type` say `predict_epsilon: false` when the network predicts the clean image. */
function impliedPrediction(predictEpsilon: boolean): 'eps' | 'x0' {
  return predictEpsilon ? 'eps' : 'x0';
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
