import { z } from 'zod';
import { usageError } from '../failure.ts';

/** A kind of value that a flag or a key of a configuration file takes. */
export interface Kind<T> {
  /** Ends the sentence "--flag must be …". */
  readonly expected: string;
  /** What the value is in a configuration file. */
  readonly schema: z.ZodType<T>;
  /** A flag's text as it would stand in a configuration file; what cannot be read stays as it is, for the message. */
  readonly fromText: (text: string) => unknown;
  /** The allowed values, if they are few. */
  readonly choices?: readonly string[];
  /** A flag without a value. */
  readonly isSwitch?: boolean;
}

/** One flag of a command, and one key of its configuration. */
export interface Setting<T> {
  readonly kind: Kind<T>;
  /** For `--help`. */
  readonly description: string;
  /** Heading in `--help`. */
  readonly group: string;
  /** Shown in `--help`; filled in by whoever resolves the settings. */
  readonly defaultText?: string;
  /** One letter. */
  readonly alias?: string;
  readonly required?: boolean;
  /** Stands without its name, as in `inspect DIR`. */
  readonly positional?: boolean;
}

/** The flags of a command, by the camelCase twins of their names. */
export type SettingTable<S> = { readonly [Key in keyof S]-?: Setting<NonNullable<S[Key]>> };

/** Any text, such as a path. */
export function text(expected: string): Kind<string> {
  return { expected, schema: z.string().min(1), fromText: (given) => given };
}

/** A switch: `--flip` or `--no-flip`. */
export function flag(): Kind<boolean> {
  return { expected: 'true or false', schema: z.boolean(), fromText: (given) => given, isSwitch: true };
}

/** A whole number from `least` to `most`. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Kind<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
  return { expected: `a whole number, ${range}`, schema: z.int().min(least).max(most), fromText: numberFrom };
}

/** A number for which `range` says what it must be. */
export function number(range: string, schema: z.ZodType<number>): Kind<number> {
  return { expected: `a number ${range}`, schema, fromText: numberFrom };
}

/** A number above 0. */
export function positive(): Kind<number> {
  return number('above 0', z.number().positive());
}

/** A number, 0 or more. */
export function atLeastZero(): Kind<number> {
  return number('at least 0', z.number().min(0));
}

/** A number in [0, 1). */
export function share(): Kind<number> {
  return number('from 0 to below 1', z.number().min(0).lt(1));
}

/** One of a few names. */
export function oneOf<Name extends string>(names: readonly Name[]): Kind<Name> {
  return {
    expected: `one of ${names.join(', ')}`,
    schema: z.enum(names as [Name, ...Name[]]) as z.ZodType<Name>,
    fromText: (given) => given,
    choices: names,
  };
}

/** One of a few numbers. */
export function oneOfNumbers(numbers: readonly number[]): Kind<number> {
  return {
    expected: `one of ${numbers.join(', ')}`,
    schema: z.literal(numbers as [number, ...number[]]) as z.ZodType<number>,
    fromText: numberFrom,
    choices: numbers.map(String),
  };
}

/** Whole numbers above 0, as `32,64,128`; in a file a list. */
export function integers({ least = 1 }: { least?: number } = {}): Kind<readonly number[]> {
  const none = least === 0 ? ', or none' : '';
  return {
    expected: `whole numbers above 0 with commas between them, such as 32,64,128${none}`,
    schema: z.array(z.int().min(1)).min(least),
    fromText: (given) => (least === 0 && given === 'none' ? [] : given.split(',').map(numberFrom)),
  };
}

/** Named numbers, as `betaStart=0.0001,betaEnd=0.02`; in a file a mapping. */
export function namedNumbers(): Kind<Readonly<Record<string, number>>> {
  return {
    expected: 'names and numbers, such as gamma=5 or betaStart=0.0001,betaEnd=0.02',
    schema: z.record(z.string(), z.number()),
    fromText: (given) =>
      Object.fromEntries(
        given.split(',').map((pair) => {
          const [name = '', value = ''] = pair.split('=');
          return [name.trim(), numberFrom(value)];
        }),
      ),
  };
}

/** The size of images: one side of squares, or HEIGHTxWIDTH. */
export function imageSize(): Kind<number | string> {
  return {
    expected: 'a number of pixels, such as 64, or HEIGHTxWIDTH, such as 48x64',
    schema: z.union([z.int().min(1), z.string().regex(/^[1-9]\d*x[1-9]\d*$/)]),
    fromText: (given) => numberFrom(given),
  };
}

/** Height and width from what {@link imageSize} accepts. */
export function parseImageSize(size: number | string): readonly [height: number, width: number] {
  if (typeof size === 'number') return [size, size];
  const [height = 0, width = 0] = size.split('x').map(Number);
  return [height, width];
}

/**
 * Checks one value.
 *
 * @param where what the message calls it, e.g. `--steps` or `steps in run.yaml`.
 * @throws Failure naming `where`, what was expected and what came.
 */
export function checkValue<T>(kind: Kind<T>, value: unknown, where: string): T {
  const result = kind.schema.safeParse(value);
  if (result.success) return result.data;
  throw usageError(`${where} must be ${kind.expected}; got ${show(value)}`);
}

/** `batchSize` → `batch-size`: the name of a setting as a flag and as a key of a file. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function numberFrom(given: string): number | string {
  const value = Number(given);
  return given.trim() === '' || Number.isNaN(value) ? given : value;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.join(',') || 'an empty list';
  if (typeof value === 'string') return value === '' ? 'nothing' : `'${value}'`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
