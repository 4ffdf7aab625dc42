import { inspect } from 'node:util';

/** A condition on a value that came from outside, and the words for what it asks. */
export interface Rule<T> {
  /** What would be right, to follow 'expected'. */
  readonly expected: string;
  readonly accepts: (value: unknown) => value is T;
}

/** An integer in [min, max]. */
export function integer(min: number, max: number): Rule<number> {
  return {
    expected: `an integer from ${min} to ${max}`,
    accepts: (value): value is number =>
      Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

/** A finite number for which `holds` is true; `expected` says so in words. */
export function number(expected: string, holds: (value: number) => boolean): Rule<number> {
  return {
    expected,
    accepts: (value): value is number => Number.isFinite(value) && holds(value as number),
  };
}

/** One of a few strings or numbers. */
export function oneOf<const T extends string | number>(...choices: readonly T[]): Rule<T> {
  return {
    expected: choices.map((choice) => JSON.stringify(choice)).join(' or '),
    accepts: (value): value is T => (choices as readonly unknown[]).includes(value),
  };
}

/** True or false. */
export const boolean: Rule<boolean> = {
  expected: 'true or false',
  accepts: (value): value is boolean => typeof value === 'boolean',
};

/** What `rule` accepts, or null. */
export function nullable<T>(rule: Rule<T>): Rule<T | null> {
  return {
    expected: `${rule.expected}, or null`,
    accepts: (value): value is T | null => value === null || rule.accepts(value),
  };
}

/** An array of `min` to `max` entries that `rule` accepts. */
export function listOf<T>(rule: Rule<T>, min: number, max: number): Rule<readonly T[]> {
  return {
    expected: `a list of ${min === max ? min : `${min} to ${max}`} entries, each ${rule.expected}`,
    accepts: (value): value is readonly T[] =>
      Array.isArray(value) && value.length >= min && value.length <= max && value.every(rule.accepts),
  };
}

/** A value for an error message: one line, not long, of any type. */
export function show(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = inspect(value, {
    depth: 1,
    breakLength: Number.POSITIVE_INFINITY,
    maxArrayLength: 12,
    maxStringLength: 60,
  });
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 120 ? `${line.slice(0, 120)}…` : line;
}

/** Whether a value is an object of keys and values, as `{}` in JSON. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
