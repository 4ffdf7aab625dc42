import { usageError } from '../failure.ts';

/** A part of a JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A kind of value that a flag or a key of a configuration file takes. */
export interface Kind<T> {
  /** Ends the sentence "--flag must be …". */
  readonly expected: string;
  /** Whether a value is of the kind, as it stands in a configuration file. */
  readonly accepts: (value: unknown) => value is T;
  /** What {@link Kind.accepts} accepts, for editors. A test holds the two together. */
  readonly schema: JsonSchema;
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
  return {
    expected,
    accepts: (value): value is string => typeof value === 'string' && value !== '',
    schema: { type: 'string', minLength: 1 },
    fromText: (given) => given,
  };
}

/** A switch: `--flip` or `--no-flip`. */
export function flag(): Kind<boolean> {
  return {
    expected: 'true or false',
    accepts: (value): value is boolean => typeof value === 'boolean',
    schema: { type: 'boolean' },
    fromText: (given) => given,
    isSwitch: true,
  };
}

/** A whole number from `least` to `most`. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Kind<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
  return {
    expected: `a whole number, ${range}`,
    accepts: (value): value is number => isInteger(value, least, most),
    schema: { type: 'integer', minimum: least, maximum: most },
    fromText: numberFrom,
  };
}

/** Bounds of a number, in the words of JSON Schema; those that are left out do not bind. */
export interface Bounds {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** A finite number within bounds; `range` says them in words. */
export function number(range: string, bounds: Bounds): Kind<number> {
  const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = bounds;
  return {
    expected: `a number ${range}`,
    accepts: (value): value is number =>
      isFiniteNumber(value) &&
      value >= minimum &&
      value <= maximum &&
      value > exclusiveMinimum &&
      value < exclusiveMaximum,
    schema: { type: 'number', ...bounds },
    fromText: numberFrom,
  };
}

/** A number above 0. */
export function positive(): Kind<number> {
  return number('above 0', { exclusiveMinimum: 0 });
}

/** A number, 0 or more. */
export function atLeastZero(): Kind<number> {
  return number('at least 0', { minimum: 0 });
}

/** A number in [0, 1). */
export function share(): Kind<number> {
  return number('from 0 to below 1', { minimum: 0, exclusiveMaximum: 1 });
}

/** Values of a kind, and infinity beside them. Infinity is a word of YAML, not of JSON: the schema knows only the kind. */
export function orInfinity(kind: Kind<number>): Kind<number> {
  return {
    ...kind,
    expected: `${kind.expected}, or Infinity`,
    accepts: (value): value is number => value === Infinity || kind.accepts(value),
  };
}

/** One of a few names. */
export function oneOf<Name extends string>(names: readonly Name[]): Kind<Name> {
  return {
    expected: `one of ${names.join(', ')}`,
    accepts: (value): value is Name => (names as readonly unknown[]).includes(value),
    schema: { type: 'string', enum: names },
    fromText: (given) => given,
    choices: names,
  };
}

/** One or several of a few names, as `linear,cosine`; in a file a list. */
export function someOf<Name extends string>(names: readonly Name[]): Kind<readonly Name[]> {
  const { accepts, schema } = oneOf(names);
  return {
    expected: `one or several of ${names.join(', ')}, with commas between them`,
    accepts: (value): value is readonly Name[] =>
      Array.isArray(value) && value.length > 0 && value.every(accepts) && new Set(value).size === value.length,
    schema: { type: 'array', items: schema, minItems: 1, uniqueItems: true },
    fromText: (given) => given.split(',').map((name) => name.trim()),
    choices: names,
  };
}

/** One of a few names, or falling numbers from 0, as `999,500,0`; in a file a name or a list. */
export function oneOfOrFalling<Name extends string>(names: readonly Name[]): Kind<Name | readonly number[]> {
  const name = oneOf(names);
  const level = atLeastZero();
  return {
    expected: `${name.expected}, or falling numbers with commas between them, such as 999,500,0`,
    accepts: (value): value is Name | readonly number[] =>
      name.accepts(value) ||
      (Array.isArray(value) &&
        value.length > 0 &&
        value.every((each, i) => level.accepts(each) && (i === 0 || each < value[i - 1]))),
    // JSON Schema cannot say that a list falls.
    schema: { anyOf: [name.schema, { type: 'array', items: level.schema, minItems: 1 }] },
    fromText: (given) => (/^\s*[-\d.]/.test(given) ? given.split(',').map(numberFrom) : given),
    choices: [...names, 'or a list'],
  };
}

/** One of a few numbers. */
export function oneOfNumbers(numbers: readonly number[]): Kind<number> {
  return {
    expected: `one of ${numbers.join(', ')}`,
    accepts: (value): value is number => (numbers as readonly unknown[]).includes(value),
    schema: { type: 'number', enum: numbers },
    fromText: numberFrom,
    choices: numbers.map(String),
  };
}

/** Whole numbers above 0, as `32,64,128`; in a file a list. */
export function integers({ least = 1 }: { least?: number } = {}): Kind<readonly number[]> {
  const none = least === 0 ? ', or none' : '';
  const { accepts, schema } = integer(1);
  return {
    expected: `whole numbers above 0 with commas between them, such as 32,64,128${none}`,
    accepts: (value): value is readonly number[] =>
      Array.isArray(value) && value.length >= least && value.every(accepts),
    schema: { type: 'array', items: schema, minItems: least },
    fromText: (given) => (least === 0 && given === 'none' ? [] : given.split(',').map(numberFrom)),
  };
}

/** Whole numbers, 0 or more, as `0,250,999`; in a file a list. */
export function indices(): Kind<readonly number[]> {
  const { accepts, schema } = integer(0);
  return {
    expected: 'whole numbers with commas between them, such as 0,250,999',
    accepts: (value): value is readonly number[] => Array.isArray(value) && value.length > 0 && value.every(accepts),
    schema: { type: 'array', items: schema, minItems: 1 },
    fromText: (given) => given.split(',').map(numberFrom),
  };
}

/** Named numbers, as `betaStart=0.0001,betaEnd=0.02`; in a file a mapping. */
export function namedNumbers(): Kind<Readonly<Record<string, number>>> {
  return {
    expected: 'names and numbers, such as gamma=5 or betaStart=0.0001,betaEnd=0.02',
    accepts: (value): value is Readonly<Record<string, number>> =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every(isFiniteNumber),
    schema: { type: 'object', additionalProperties: { type: 'number' } },
    fromText: (given) =>
      Object.fromEntries(
        given.split(',').map((pair) => {
          const [name = '', value = ''] = pair.split('=');
          return [name.trim(), numberFrom(value)];
        }),
      ),
  };
}

const sizePattern = /^[1-9]\d*x[1-9]\d*$/;

/** The size of images: one side of squares, or HEIGHTxWIDTH. */
export function imageSize(): Kind<number | string> {
  const side = integer(1);
  return {
    expected: 'a number of pixels, such as 64, or HEIGHTxWIDTH, such as 48x64',
    accepts: (value): value is number | string =>
      side.accepts(value) || (typeof value === 'string' && sizePattern.test(value)),
    schema: { anyOf: [side.schema, { type: 'string', pattern: sizePattern.source }] },
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
  if (kind.accepts(value)) return value;
  throw usageError(`${where} must be ${kind.expected}; got ${show(value)}`);
}

/** `batchSize` → `batch-size`: the name of a setting as a flag and as a key of a file. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function isFiniteNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isInteger(value: unknown, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
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
