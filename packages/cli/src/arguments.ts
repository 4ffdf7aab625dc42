import parser from 'yargs-parser';
import { usageError } from './failure.ts';
import { kebabCase, type SettingTable } from './settings/kinds.ts';

/** Switches that every command has. */
export const commonSwitches: readonly string[] = ['json', 'quiet', 'help', 'version'];

/** Flags by their names as typed (an alias under its long name), their values still text; `_` holds what is no flag. */
export interface ParsedArguments {
  readonly _: readonly string[];
  readonly [flag: string]: unknown;
}

/** How yargs shall read a command line; the help text is made with the same. */
export const parserConfiguration = {
  'camel-case-expansion': false,
  'dot-notation': false,
  'duplicate-arguments-array': false,
  'parse-numbers': false,
  'parse-positional-numbers': false,
  'strip-aliased': true,
} as const;

/**
 * Takes the arguments of a command apart. A positional setting is filled from the first argument that is no flag.
 *
 * @throws Failure for a flag without its value or a missing positional argument that is required.
 */
export function parseArguments(
  args: readonly string[],
  settings: SettingTable<Record<string, unknown>>,
): ParsedArguments {
  const entries = Object.entries(settings).map(([key, setting]) => ({ ...setting, key, flag: kebabCase(key) }));
  const flags = entries.filter(({ positional }) => !positional);
  const withValue = flags.filter(({ kind }) => !kind.isSwitch);
  const { argv, error } = parser.detailed([...args], {
    boolean: [...commonSwitches, ...flags.filter(({ kind }) => kind.isSwitch).map(({ flag }) => flag)],
    string: withValue.map(({ flag }) => flag),
    narg: Object.fromEntries(withValue.map(({ flag }) => [flag, 1])),
    alias: Object.fromEntries(flags.flatMap(({ flag, alias }) => (alias === undefined ? [] : [[flag, [alias]]]))),
    configuration: parserConfiguration,
  });
  if (argv.help || argv.version) return argv as ParsedArguments;
  if (error) throw usageError(parserMessage(error.message));
  const positional = entries.find((entry) => entry.positional);
  if (!positional) return argv as ParsedArguments;
  const [first, ...rest] = argv._;
  if (first === undefined) {
    if (positional.required) throw usageError(`${positional.kind.expected} is missing`);
    return argv as ParsedArguments;
  }
  return { ...argv, [positional.flag]: first, _: rest as string[] };
}

/** What the parser complains about, in our words. */
function parserMessage(message: string): string {
  const missing = /^Not enough arguments following: (.+)$/.exec(message);
  return missing ? `--${missing[1]} needs a value` : message;
}
