import { boolean, integer, isRecord, number, oneOf, type Rule, show } from '../config/value-rules.ts';
import { DIFFUSERS_VERSION } from '../models/unet2d-config.ts';
import { DiffuseError } from '../native/errors.ts';

/** The noise schedules that both diffuse and diffusers know, by diffuse's names. */
export type SchedulerScheduleName = 'linear' | 'scaled-linear' | 'cosine' | 'sigmoid';

/** What a `scheduler_config.json` says, in diffuse's words. */
export interface SchedulerDescription {
  /** The class of the file: `DDPMScheduler` or `DDIMScheduler`. */
  readonly sampler: 'ddpm' | 'ddim';
  /** The noise schedule: registry name, number of timesteps, and the parameters that the name takes. */
  readonly schedule: {
    readonly name: SchedulerScheduleName;
    readonly steps: number;
    /** `{ s, maxBeta }` of 'cosine', `{ betaStart, betaEnd }` of the others. */
    readonly parameters: Readonly<Record<string, number>>;
  };
  /** What the network predicts: the noise, the clean image or the velocity. */
  readonly predict: 'eps' | 'x0' | 'v';
  /** Variance of a DDPM step; 'fixed-small' where the sampler is 'ddim', whose eta = 1 has it. */
  readonly variance: 'fixed-small' | 'fixed-large';
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

const scheduleNames = {
  linear: 'linear',
  'scaled-linear': 'scaled_linear',
  cosine: 'squaredcos_cap_v2',
  sigmoid: 'sigmoid',
} as const;

const predictions = { eps: 'epsilon', x0: 'sample', v: 'v_prediction' } as const;

const variances = { 'fixed-small': 'fixed_small', 'fixed-large': 'fixed_large' } as const;

/** diffusers has no keys for the parameters of its cosine schedule. */
const cosineParameters = { s: 0.008, maxBeta: 0.999 } as const;

const betaDefaults = { betaStart: 1e-4, betaEnd: 0.02 } as const;

const beta: Rule<number> = number('a number above 0 and at most 1', (value) => value > 0 && value <= 1);
const steps: Rule<number> = integer(1, 1_000_000);
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
  const { sampler, schedule, clip } = description;
  const { betaStart, betaEnd } = scheduleBetas(schedule);
  if (clip !== Number.POSITIVE_INFINITY) demand('clip', clip, positive);
  return {
    _class_name: translate('sampler', classNames, sampler),
    _diffusers_version: DIFFUSERS_VERSION,
    beta_end: betaEnd,
    beta_schedule: translate('schedule', scheduleNames, schedule.name),
    beta_start: betaStart,
    clip_sample: clip !== Number.POSITIVE_INFINITY,
    clip_sample_range: clip === Number.POSITIVE_INFINITY ? 1 : clip,
    dynamic_thresholding_ratio: 0.995,
    num_train_timesteps: demand('schedule.steps', schedule.steps, steps),
    prediction_type: translate('predict', predictions, description.predict),
    rescale_betas_zero_snr: false,
    sample_max_value: 1,
    ...(sampler === 'ddim' ? { set_alpha_to_one: demand('setAlphaToOne', description.setAlphaToOne, boolean) } : {}),
    steps_offset: demand('stepsOffset', description.stepsOffset, integer(0, 1_000_000)),
    thresholding: false,
    timestep_spacing: demand('spacing', description.spacing, oneOf('leading', 'trailing', 'linspace')),
    trained_betas: null,
    ...(sampler === 'ddpm' ? { variance_type: translate('variance', variances, description.variance) } : {}),
  };
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
  const absent = (key: string, value: null | false): void => {
    const rule: Rule<unknown> = { expected: `${value}`, accepts: (given): given is unknown => given === value };
    take(key, rule, value);
  };
  absent('trained_betas', null);
  absent('thresholding', false);
  absent('rescale_betas_zero_snr', false);

  const name = word<SchedulerScheduleName>('beta_schedule', scheduleNames, 'linear');
  const betaStart = take('beta_start', beta, betaDefaults.betaStart);
  const betaEnd = take('beta_end', beta, betaDefaults.betaEnd);
  if (name !== 'cosine' && betaStart > betaEnd) {
    fail(`beta_start is ${betaStart}; expected at most beta_end, ${betaEnd}`);
  }
  const clips = take('clip_sample', boolean, true);
  const range = take('clip_sample_range', positive, 1);
  const predict = word<'eps' | 'x0' | 'v'>(
    'prediction_type',
    predictions,
    impliedPrediction(take('predict_epsilon', boolean, true)),
  );
  // DDIM reads no variance, DDPM no set_alpha_to_one; either may stand there from a conversion between the classes.
  const variance =
    sampler === 'ddpm' ? word<'fixed-small' | 'fixed-large'>('variance_type', variances, 'fixed-small') : 'fixed-small';
  const setAlphaToOne = sampler === 'ddim' ? take('set_alpha_to_one', boolean, true) : true;
  unread.delete(sampler === 'ddim' ? 'variance_type' : 'set_alpha_to_one');
  const description: SchedulerDescription = {
    sampler,
    schedule: {
      name,
      steps: take('num_train_timesteps', steps, 1000),
      parameters: name === 'cosine' ? { ...cosineParameters } : { betaStart, betaEnd },
    },
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

/** The betas to write. The cosine schedule does not read them, so it gets the defaults, but must be diffusers' own. */
function scheduleBetas({ name, parameters }: SchedulerDescription['schedule']): { betaStart: number; betaEnd: number } {
  const expected: Readonly<Record<string, number>> = name === 'cosine' ? cosineParameters : betaDefaults;
  for (const [key, value] of Object.entries(parameters)) {
    if (!Object.hasOwn(expected, key)) {
      refuse(`schedule.parameters.${key}`, value, `only ${Object.keys(expected).join(' and ')} for '${name}'`);
    }
    if (name === 'cosine' && value !== expected[key]) {
      refuse(
        `schedule.parameters.${key}`,
        value,
        `${expected[key]}, the only value that diffusers' cosine schedule has`,
      );
    }
  }
  if (name === 'cosine') return betaDefaults;
  const { betaStart = betaDefaults.betaStart, betaEnd = betaDefaults.betaEnd } = parameters;
  return {
    betaStart: demand('schedule.parameters.betaStart', betaStart, beta),
    betaEnd: demand('schedule.parameters.betaEnd', betaEnd, beta),
  };
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
