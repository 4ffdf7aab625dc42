import { DiffuseError } from '../native/errors.ts';

/**
 * Returns `value` if it is an integer in `[min, max]`.
 *
 * @param name what the message calls the value.
 * @throws DiffuseError ERR_ARGUMENT otherwise.
 */
export function checkInteger(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new DiffuseError('ERR_ARGUMENT', `${name} must be an integer from ${min} to ${max}, got ${String(value)}`);
  }
  return value;
}

/**
 * Returns `value` if it is a number in `[min, max]`.
 *
 * @param name what the message calls the value.
 * @throws DiffuseError ERR_ARGUMENT otherwise, also for NaN.
 */
export function checkNumber(name: string, value: number, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw new DiffuseError('ERR_ARGUMENT', `${name} must be a number from ${min} to ${max}, got ${String(value)}`);
  }
  return value;
}

/**
 * Returns `value` if it is a number in `(0, max]`.
 *
 * @param name what the message calls the value.
 * @throws DiffuseError ERR_ARGUMENT otherwise, also for NaN.
 */
export function checkPositive(name: string, value: number, max: number): number {
  if (typeof value !== 'number' || !(value > 0 && value <= max)) {
    const bound = max === Infinity ? '' : ` and at most ${max}`;
    throw new DiffuseError('ERR_ARGUMENT', `${name} must be a number above 0${bound}, got ${String(value)}`);
  }
  return value;
}

/**
 * Looks `name` up in a registry.
 *
 * @param kind what the registry holds, in the singular: 'schedule', 'sampler' …
 * @throws DiffuseError ERR_ARGUMENT for an unknown name; the message lists the known ones.
 */
export function lookUp<Entry>(kind: string, registry: Readonly<Record<string, Entry>>, name: string): Entry {
  const entry = Object.hasOwn(registry, name) ? registry[name] : undefined;
  if (entry === undefined) {
    const known = Object.keys(registry).join(', ');
    throw new DiffuseError('ERR_ARGUMENT', `unknown ${kind} '${String(name)}'; known are: ${known}`);
  }
  return entry;
}

/**
 * Refuses options that the named registry entry does not have, so that a misspelt flag is never ignored.
 *
 * @param owner what the options are for, as the message calls it: "schedule 'linear'".
 * @throws DiffuseError ERR_ARGUMENT naming the first unknown option.
 */
export function checkOptionNames(owner: string, options: object, known: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !known.includes(name)) {
      throw new DiffuseError('ERR_ARGUMENT', `${owner} has no option '${name}'; it has: ${known.join(', ')}`);
    }
  }
}
