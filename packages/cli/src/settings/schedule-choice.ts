import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import {
  createSchedule,
  type Schedule,
  type ScheduleIdentity,
  type ScheduleName,
  scheduleFromAlphaBars,
  scheduleFromBetas,
  scheduleFromSigmas,
  schedules,
} from '@diffuse/core';
import { messageOf, usageError } from '../failure.ts';
import { type Kind, oneOf } from './kinds.ts';

/** The views that a schedule of one's own can be given in. */
type ArrayName = 'betas' | 'alphaBars' | 'sigmas';

const makers: Readonly<Record<ArrayName, (values: readonly number[], identity: ScheduleIdentity) => Schedule>> = {
  betas: scheduleFromBetas,
  alphaBars: scheduleFromAlphaBars,
  sigmas: scheduleFromSigmas,
};

/** A schedule of one's own: one of its views, a number a timestep. */
export type ScheduleArrays = { readonly [Name in ArrayName]: Readonly<Record<Name, readonly number[]>> }[ArrayName];

/** A schedule by its name, or one of one's own. */
export type ScheduleChoice = ScheduleName | ScheduleArrays;

/** A schedule of one's own with the name of the file that it comes from. */
export interface NamedArrays {
  readonly name: string;
  readonly arrays: ScheduleArrays;
}

const arrayNames = Object.keys(makers) as ArrayName[];
const names = oneOf(Object.keys(schedules) as ScheduleName[]);
const expectedArrays = 'an object with one of betas, alphaBars or sigmas, a list of numbers';
const fileChoice = 'or FILE.json';

/** A schedule: as a flag a name or a `.json` file, which is read at once; in a configuration a name or what such a file holds. */
export function scheduleChoice(): Kind<ScheduleChoice> {
  const list = { type: 'array', items: { type: 'number' }, minItems: 1 };
  return {
    expected: `${names.expected}, or a .json file with betas, alphaBars or sigmas`,
    accepts: (value): value is ScheduleChoice => names.accepts(value) || isArrays(value),
    schema: {
      anyOf: [
        names.schema,
        ...arrayNames.map((name) => ({
          type: 'object',
          properties: { [name]: list },
          required: [name],
          additionalProperties: false,
        })),
      ],
    },
    fromText: (given) => (isFile(given) ? readArrays(given) : given),
    choices: [...(names.choices ?? []), fileChoice],
  };
}

/** One or several schedules, for pictures: names and `.json` files with commas between them. */
export function scheduleChoices(): Kind<readonly (ScheduleName | NamedArrays)[]> {
  const isNamed = (value: unknown): value is NamedArrays => isArrays((value as Partial<NamedArrays> | null)?.arrays);
  return {
    expected: `one or several of ${names.choices?.join(', ')} and .json files, with commas between them`,
    accepts: (value): value is readonly (ScheduleName | NamedArrays)[] =>
      Array.isArray(value) &&
      value.length > 0 &&
      value.every((each) => names.accepts(each) || isNamed(each)) &&
      new Set(value.map((each) => (isNamed(each) ? each.name : each))).size === value.length,
    schema: { type: 'array', items: { anyOf: [names.schema, { type: 'object' }] }, minItems: 1 },
    fromText: (given) =>
      given.split(',').map((part) => {
        const name = part.trim();
        return isFile(name) ? { name: basename(name, '.json'), arrays: readArrays(name) } : name;
      }),
    choices: [...(names.choices ?? []), fileChoice],
  };
}

/** What {@link buildSchedule} makes a schedule from. */
export interface ScheduleSettings {
  readonly schedule: ScheduleChoice | NamedArrays;
  readonly scheduleOptions?: Readonly<Record<string, number>> | undefined;
  readonly timesteps?: number | undefined;
}

/**
 * Makes the schedule that flags or a configuration ask for.
 *
 * @throws Failure for what a list of numbers leaves no room for; DiffuseError `ERR_ARGUMENT` for options or numbers out of range.
 */
export function buildSchedule({ schedule, scheduleOptions = {}, timesteps }: ScheduleSettings): Schedule {
  if (typeof schedule === 'string') return createSchedule(schedule, { ...scheduleOptions, steps: timesteps ?? 1000 });
  const { name = 'custom', arrays } = 'arrays' in schedule ? schedule : { arrays: schedule };
  checkArrays(arrays, scheduleOptions, timesteps);
  const [view, values] = entryOf(arrays);
  return makers[view](values, { name });
}

/** Number of timesteps of a schedule of one's own. */
export function lengthOf(arrays: ScheduleArrays): number {
  return entryOf(arrays)[1].length;
}

/** @throws Failure for options or a number of timesteps beside a list that says it all. */
export function checkArrays(
  arrays: ScheduleArrays,
  scheduleOptions: Readonly<Record<string, number>> = {},
  timesteps?: number,
): void {
  const count = lengthOf(arrays);
  if (Object.keys(scheduleOptions).length > 0) {
    throw usageError('--schedule-options are for schedules that have a name; leave them out with a file');
  }
  if (timesteps !== undefined && timesteps !== count) {
    throw usageError(`--timesteps is ${timesteps}, but the schedule of the file has ${count}; leave --timesteps out`);
  }
}

function entryOf(arrays: ScheduleArrays): readonly [ArrayName, readonly number[]] {
  const [entry] = Object.entries(arrays) as [ArrayName, readonly number[]][];
  if (!entry) throw new TypeError("a schedule of one's own has one list");
  return entry;
}

function isArrays(value: unknown): value is ScheduleArrays {
  if (typeof value !== 'object' || value === null) return false;
  const [entry, ...others] = Object.entries(value);
  if (!entry || others.length > 0) return false;
  const [name, list] = entry;
  return (
    arrayNames.includes(name as ArrayName) &&
    Array.isArray(list) &&
    list.length > 0 &&
    list.every((each) => typeof each === 'number' && Number.isFinite(each))
  );
}

function isFile(given: string): boolean {
  return given.toLowerCase().endsWith('.json');
}

/** @throws Failure for a file that cannot be read or holds something else. */
function readArrays(path: string): ScheduleArrays {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw usageError(`--schedule: there is no file ${path}`, { cause });
    throw usageError(`--schedule: cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw usageError(`--schedule: ${path} is not valid JSON: ${messageOf(cause).split('\n')[0]}`, { cause });
  }
  if (isArrays(value)) return value;
  throw usageError(`--schedule: ${path} must hold ${expectedArrays}`);
}
