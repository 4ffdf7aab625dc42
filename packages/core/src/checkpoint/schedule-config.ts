import { boolean, integer, isRecord, listOf, number, oneOf, type Rule, show } from '../config/value-rules.ts';
import { DiffuseError } from '../native/errors.ts';
import {
  createSchedule,
  rescaleZeroTerminalSnr,
  type Schedule,
  type ScheduleName,
  scheduleFromBetas,
  schedules,
} from '../schedules/index.ts';

/** Name of a schedule in the registry, or 'custom' for betas that no name stands for. */
export type SchedulerScheduleName = ScheduleName | 'custom';

/** A noise schedule as data: what makes it again. */
export interface ScheduleDescription {
  readonly name: SchedulerScheduleName;
  /** Number of timesteps. */
  readonly steps: number;
  /** What the registry makes it from, besides `steps`; with `zeroTerminalSnr: 1` it ends at pure noise. */
  readonly parameters: Readonly<Record<string, number>>;
  /** The betas of 'custom', one a timestep; no other schedule has them. */
  readonly betas?: readonly number[];
}

/** How {@link scheduleFromDiffusers} reads the keys of a file. */
export interface KeyReader {
  /** The value of a key, or what it defaults to; throws, naming the key, unless the rule accepts it. */
  readonly take: <T>(key: string, rule: Rule<T>, fallback: T) => T;
  /** Throws, naming the file. */
  readonly fail: (problem: string) => never;
}

/** diffusers' names for the schedules that it can make itself. */
const diffusersNames = {
  linear: 'linear',
  'scaled-linear': 'scaled_linear',
  cosine: 'squaredcos_cap_v2',
  sigmoid: 'sigmoid',
} as const;

type SharedName = keyof typeof diffusersNames;

/** diffusers has no keys for the parameters of its cosine schedule. */
const cosineParameters: Readonly<Record<string, number>> = { s: 0.008, maxBeta: 0.999 };

const betaDefaults = { betaStart: 1e-4, betaEnd: 0.02 } as const;

/**
 * The key by which a schedule that diffusers gets as `trained_betas` is known to us again. diffusers ignores keys that begin
 * with an underscore.
 */
const SCHEDULE_KEY = '_diffuse_schedule';

/** Powers and exponentials may differ in their last digits from one machine to another. */
const SAME_BETA = 1e-9;

const beta: Rule<number> = number('a number above 0 and at most 1', (value) => value > 0 && value <= 1);
const steps: Rule<number> = integer(1, 1_000_000);
const betaList: Rule<readonly number[] | null> = {
  expected: 'null or a list of numbers above 0 and at most 1, one a timestep',
  accepts: (value): value is readonly number[] | null => value === null || listOf(beta, 1, 1_000_000).accepts(value),
};

/** Describes a schedule, so that {@link scheduleFromDescription} makes it again: by its name, or else by its betas. */
export function describeSchedule({ name, steps, parameters, beta }: Schedule): ScheduleDescription {
  if (Object.hasOwn(schedules, name)) return { name: name as ScheduleName, steps, parameters };
  return { name: 'custom', steps, parameters: {}, betas: Array.from(beta) };
}

/**
 * Makes a schedule from its description.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for an unknown name, or for parameters or betas out of range.
 */
export function scheduleFromDescription({ name, steps, parameters, betas = [] }: ScheduleDescription): Schedule {
  if (name !== 'custom') return createSchedule(name, { steps, ...parameters });
  if (betas.length !== steps) {
    const counts = `${betas.length} betas for ${steps} timesteps`;
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `a description of a custom schedule must have one beta a timestep, got ${counts}`,
    );
  }
  return scheduleFromBetas(betas);
}

/**
 * The keys of `scheduler_config.json` that say the schedule. Schedules that diffusers cannot make itself become
 * `trained_betas`, which it can use.
 *
 * @param makes names of the schedules that the scheduler's class can make; by default all that diffusers can.
 * @throws DiffuseError `ERR_ARGUMENT` as {@link scheduleFromDescription}.
 */
export function scheduleToDiffusers(
  description: ScheduleDescription,
  makes: readonly string[] = Object.keys(diffusersNames),
): Record<string, unknown> {
  const { name, parameters } = description;
  const { zeroTerminalSnr = 0, ...own } = parameters;
  if (makes.includes(name) && isShared(name, own)) {
    const { betaStart, betaEnd } = { ...betaDefaults, ...(name === 'cosine' ? {} : own) };
    return {
      beta_end: demand('schedule.parameters.betaEnd', betaEnd, beta),
      beta_schedule: diffusersNames[name],
      beta_start: demand('schedule.parameters.betaStart', betaStart, beta),
      num_train_timesteps: demand('schedule.steps', description.steps, steps),
      rescale_betas_zero_snr: zeroTerminalSnr === 1,
      trained_betas: null,
    };
  }
  const { beta: betas } = scheduleFromDescription(description);
  return {
    ...(name === 'custom' ? {} : { [SCHEDULE_KEY]: { name, parameters } }),
    beta_end: betaDefaults.betaEnd,
    beta_schedule: diffusersNames.linear,
    beta_start: betaDefaults.betaStart,
    num_train_timesteps: betas.length,
    rescale_betas_zero_snr: false,
    trained_betas: Array.from(betas),
  };
}

/** Whether diffusers' own schedule of this name has these parameters. */
function isShared(name: string, parameters: Readonly<Record<string, number>>): name is SharedName {
  if (!Object.hasOwn(diffusersNames, name)) return false;
  if (name !== 'cosine') return Object.keys(parameters).every((key) => Object.hasOwn(betaDefaults, key));
  return Object.entries(parameters).every(([key, value]) => value === cosineParameters[key]);
}

/** The schedule that a `scheduler_config.json` says; its keys are taken from `reader`. */
export function scheduleFromDiffusers(
  json: Readonly<Record<string, unknown>>,
  { take, fail }: KeyReader,
): ScheduleDescription {
  const theirs = take('beta_schedule', oneOf<string>(...Object.values(diffusersNames)), diffusersNames.linear);
  const betaStart = take('beta_start', beta, betaDefaults.betaStart);
  const betaEnd = take('beta_end', beta, betaDefaults.betaEnd);
  const timesteps = take('num_train_timesteps', steps, 1000);
  const betas = take('trained_betas', betaList, null);
  const rescale = take('rescale_betas_zero_snr', boolean, false);
  if (rescale && timesteps === 1) fail('rescale_betas_zero_snr is true; expected false where there is one timestep');
  if (betas !== null) {
    if (betas.length !== timesteps) {
      fail(`trained_betas has ${betas.length} entries; expected ${timesteps}, which is num_train_timesteps`);
    }
    return describeBetas(betas, { rescale, hint: json[SCHEDULE_KEY], fail });
  }
  const name = (Object.keys(diffusersNames) as SharedName[]).find(
    (key) => diffusersNames[key] === theirs,
  ) as SharedName;
  if (name !== 'cosine' && betaStart > betaEnd)
    fail(`beta_start is ${betaStart}; expected at most beta_end, ${betaEnd}`);
  const parameters = name === 'cosine' ? { ...cosineParameters } : { betaStart, betaEnd };
  return { name, steps: timesteps, parameters: rescale ? { ...parameters, zeroTerminalSnr: 1 } : parameters };
}

/** Betas by the name that the file says they have, if it makes the same again; else as they are. */
function describeBetas(
  betas: readonly number[],
  { rescale, hint, fail }: { rescale: boolean; hint: unknown; fail: KeyReader['fail'] },
): ScheduleDescription {
  if (!rescale && isRecord(hint) && typeof hint.name === 'string' && isRecord(hint.parameters)) {
    const { name, parameters } = hint;
    const options = { ...(parameters as Record<string, number>), steps: betas.length };
    const named = attempt(() => createSchedule(name, options));
    if (!(named instanceof DiffuseError) && isSame(named.beta, betas)) return describeSchedule(named);
  }
  const given = attempt(() => (rescale ? rescaleZeroTerminalSnr(scheduleFromBetas(betas)) : scheduleFromBetas(betas)));
  if (given instanceof DiffuseError) return fail(`trained_betas make no schedule: ${given.message}`);
  return { name: 'custom', steps: given.steps, parameters: {}, betas: Array.from(given.beta) };
}

function isSame(a: Float64Array, b: readonly number[]): boolean {
  return a.every((value, t) => Math.abs(value - (b[t] as number)) <= SAME_BETA * value);
}

function demand(field: string, value: number | undefined, rule: Rule<number>): number {
  if (rule.accepts(value)) return value;
  throw new DiffuseError('ERR_ARGUMENT', `diffusers scheduler: ${field} is ${show(value)}; expected ${rule.expected}`);
}

/** What `make` returns, or the error that it throws. */
function attempt(make: () => Schedule): Schedule | DiffuseError {
  try {
    return make();
  } catch (error) {
    if (error instanceof DiffuseError) return error;
    throw error;
  }
}
