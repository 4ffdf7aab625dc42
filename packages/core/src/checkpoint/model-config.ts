import { isRecord, type Rule, show } from '../config/value-rules.ts';
import { DiffuseError } from '../native/errors.ts';

/** What a field may be; of a field that early files do not have, what it is there. */
export type FieldRule<T> = Rule<T> & { readonly absent?: T };

/** What each field of a configuration may be. */
export type ConfigRules<C extends object> = { readonly [F in keyof C]-?: FieldRule<C[F]> };

/**
 * A configuration as the content of a `config.json`: the fields in the order of `rules`, their names in snake_case.
 *
 * @throws DiffuseError `ERR_ARGUMENT` naming the field that {@link configFromJson} would refuse.
 */
export function configToJson<C extends object>(
  className: string,
  rules: ConfigRules<C>,
  config: C,
): Record<string, unknown> {
  const entries = fieldsOf(rules).map((field): [string, unknown] => {
    const value = config[field];
    if (!rules[field].accepts(value)) {
      const problem = `${className}: ${String(field)} is ${show(value)}; a file takes ${rules[field].expected}`;
      throw new DiffuseError('ERR_ARGUMENT', problem);
    }
    return [fileKey(field), value];
  });
  return { _class_name: className, ...Object.fromEntries(entries) };
}

/**
 * The configuration from the content of a `config.json`. Every field must be there but those that came later; of keys that are not
 * known, those that begin with an underscore are ignored.
 *
 * @param source what to call the file in an error.
 * @throws DiffuseError `ERR_CHECKPOINT`: one line with file, key, what came and what would be right.
 */
export function configFromJson<C extends object>(
  className: string,
  rules: ConfigRules<C>,
  json: unknown,
  source: string,
): C {
  const fail = (problem: string): never => {
    throw new DiffuseError('ERR_CHECKPOINT', `${source}: ${problem}`);
  };
  if (!isRecord(json)) return fail(`is ${show(json)}; expected an object`);
  if (json._class_name !== className) fail(`_class_name is ${show(json._class_name)}; expected "${className}"`);
  const fields = fieldsOf(rules);
  const known = new Set(fields.map(fileKey));
  for (const [key, value] of Object.entries(json)) {
    if (known.has(key) || key.startsWith('_')) continue;
    fail(`${key} is ${show(value)}; diffuse does not know this key, expected it to be absent`);
  }
  const entries = fields.map((field): [keyof C, unknown] => {
    const key = fileKey(field);
    const value = Object.hasOwn(json, key) ? json[key] : rules[field].absent;
    if (!rules[field].accepts(value)) fail(`${key} is ${show(value)}; expected ${rules[field].expected}`);
    return [field, value];
  });
  return Object.fromEntries(entries) as C;
}

/**
 * What `create` makes of the content of a file: options that do not fit together are the file's fault.
 *
 * @throws DiffuseError `ERR_CHECKPOINT` naming `source` instead of `ERR_ARGUMENT`.
 */
export function madeFrom<T>(source: string, create: () => T): T {
  try {
    return create();
  } catch (error) {
    if (!(error instanceof DiffuseError) || error.code !== 'ERR_ARGUMENT') throw error;
    throw new DiffuseError('ERR_CHECKPOINT', `${source}: ${error.message}`, { cause: error });
  }
}

function fieldsOf<C extends object>(rules: ConfigRules<C>): (keyof C)[] {
  return Object.keys(rules) as (keyof C)[];
}

/** `nullClass` → `null_class`, as diffusers writes its keys. */
function fileKey(field: PropertyKey): string {
  return String(field).replaceAll(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
}
