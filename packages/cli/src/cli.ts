import { readFileSync } from 'node:fs';
import { commonSwitches, type ParsedArguments, parseArguments } from './arguments.ts';
import type { AnyCommand } from './command.ts';
import { anyCommand } from './command.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { plotCommand } from './commands/plot.ts';
import { sampleCommand } from './commands/sample.ts';
import { trainCommand } from './commands/train.ts';
import { trajectoryCommand } from './commands/trajectory.ts';
import { errorCodeOf, exitCodeOf, exitCodes, messageOf, usageError } from './failure.ts';
import { checkValue, kebabCase, type Setting } from './settings/kinds.ts';
import { didYouMean } from './settings/suggest.ts';
import { createReport, type TextSink } from './terminal/report.ts';

const commands: readonly AnyCommand[] = [
  anyCommand(trainCommand),
  anyCommand(sampleCommand),
  anyCommand(trajectoryCommand),
  anyCommand(plotCommand),
  anyCommand(evaluateCommand),
  anyCommand(inspectCommand),
  anyCommand(doctorCommand),
];

/** Where a command writes; by default the process's own streams. */
export interface CliStreams {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

const loadHelp = () => import('./help.ts');

/**
 * Runs the command line and returns its exit code: 0 done, 1 the run failed, 2 wrong usage or bad input, 130 cancelled. Nothing is
 * thrown; an error is one line on stderr (with its stack if `DIFFUSE_DEBUG` is set).
 *
 * @param args what follows `diffuse`.
 */
export async function runCli(
  args: readonly string[],
  { stdout, stderr }: CliStreams = { stdout: process.stdout, stderr: process.stderr },
): Promise<number> {
  let json = args.includes('--json');
  try {
    const parsed = await parse(args);
    if (parsed.help !== undefined) {
      stdout.write(`${parsed.help}\n`);
      return exitCodes.done;
    }
    const { command, argv } = parsed;
    json = argv.json === true;
    const report = createReport({ stdout, stderr, json, quiet: argv.quiet === true });
    await command.run(readFlags(command, argv, args), { report, columns: stdout.columns ?? 80 });
    return exitCodes.done;
  } catch (error) {
    if (json)
      stdout.write(`${JSON.stringify({ event: 'error', code: errorCodeOf(error), message: messageOf(error) })}\n`);
    stderr.write(`diffuse: ${messageOf(error)}\n`);
    if (process.env.DIFFUSE_DEBUG && error instanceof Error) stderr.write(`${error.stack}\n`);
    return exitCodeOf(error);
  }
}

type Parsed =
  | { readonly help: string }
  | { readonly help?: undefined; readonly command: AnyCommand; readonly argv: ParsedArguments };

/** Takes the arguments apart: a help text to print, or a command with the text of its flags. */
async function parse(args: readonly string[]): Promise<Parsed> {
  const [first] = args;
  const names = commands.map(({ name }) => name);
  const command = commands.find(({ name }) => name === first);
  if (command === undefined && first !== undefined && !first.startsWith('-')) {
    throw usageError(`there is no command '${first}'${didYouMean(first, names)} (commands: ${names.join(', ')})`);
  }
  const argv = parseArguments(args.slice(command ? 1 : 0), command?.settings ?? {});
  if (argv.version) return { help: version() };
  if (argv.help) {
    // Only help needs yargs itself, which takes longer to load than all else of the command line.
    const { helpText } = await loadHelp();
    return { help: await helpText(commands, command) };
  }
  if (command) return { command, argv };
  throw usageError(`no command was given; commands: ${names.join(', ')} (diffuse --help says more)`);
}

/**
 * The flags of a command, checked.
 *
 * @throws Failure for an unknown flag, a flag without its value, a value of another kind, or a missing flag.
 */
function readFlags(
  { name: commandName, settings }: AnyCommand,
  argv: ParsedArguments,
  args: readonly string[],
): Record<string, unknown> {
  const byFlag = new Map(Object.keys(settings).map((key) => [kebabCase(key), key]));
  const values: Record<string, unknown> = {};
  for (const [flag, given] of Object.entries(argv)) {
    if (flag === '_' || commonSwitches.includes(flag) || given === undefined) continue;
    const key = byFlag.get(flag);
    const setting = key === undefined ? undefined : settings[key];
    if (key === undefined || setting === undefined) {
      const dashes = flag.length === 1 ? '-' : '--';
      const known = [...byFlag.keys(), ...commonSwitches];
      throw usageError(`${commandName} has no flag ${dashes}${flag}${didYouMean(flag, known, '--')}`);
    }
    const where = setting.positional ? key.toUpperCase() : asTyped(flag, setting.alias, args);
    const value = typeof given === 'string' ? setting.kind.fromText(given) : given;
    values[key] = checkValue<unknown>(setting.kind, value, where);
  }
  const [extra] = argv._;
  if (extra !== undefined) throw usageError(`${commandName} takes no further argument; got '${extra}'`);
  for (const [key, { required, kind }] of Object.entries<Setting<unknown>>(settings)) {
    if (required && values[key] === undefined) throw usageError(`--${kebabCase(key)} is missing: ${kind.expected}`);
  }
  return values;
}

/** A flag by the name that it was given by: the parser knows `-n` as `--count`. */
function asTyped(flag: string, alias: string | undefined, args: readonly string[]): string {
  const long = args.some((arg) => arg === `--${flag}` || arg.startsWith(`--${flag}=`));
  return alias === undefined || long ? `--${flag}` : `-${alias}`;
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
