import { readFileSync } from 'node:fs';
import yargs, { type Argv } from 'yargs';
import type { AnyCommand, HelpSection } from './command.ts';
import { anyCommand } from './command.ts';
import { doctorCommand } from './commands/doctor.ts';
import { inspectCommand } from './commands/inspect.ts';
import { sampleCommand } from './commands/sample.ts';
import { trainCommand } from './commands/train.ts';
import { trajectoryCommand } from './commands/trajectory.ts';
import { errorCodeOf, exitCodeOf, exitCodes, Failure, messageOf, usageError } from './failure.ts';
import { checkValue, kebabCase, type Setting } from './settings/kinds.ts';
import { didYouMean } from './settings/suggest.ts';
import { columns } from './terminal/format.ts';
import { createReport, type TextSink } from './terminal/report.ts';

const commands: readonly AnyCommand[] = [
  anyCommand(trainCommand),
  anyCommand(sampleCommand),
  anyCommand(trajectoryCommand),
  anyCommand(inspectCommand),
  anyCommand(doctorCommand),
];

/** Where a command writes; by default the process's own streams. */
export interface CliStreams {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

/** Columns of a help text: the same everywhere, so that it reads the same everywhere. */
const helpColumns = 100;

const commonSwitches = ['json', 'quiet', 'help', 'version'];

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
    await command.run(readFlags(command, argv), { report, columns: stdout.columns ?? 80 });
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
  | { readonly help?: undefined; readonly command: AnyCommand; readonly argv: Readonly<Record<string, unknown>> };

/** Takes the arguments apart: a help text to print, or a command with the text of its flags. */
async function parse(args: readonly string[]): Promise<Parsed> {
  const [first] = args;
  const names = commands.map(({ name }) => name);
  if (first !== undefined && !first.startsWith('-') && !names.includes(first)) {
    throw usageError(`there is no command '${first}'${didYouMean(first, names)} (commands: ${names.join(', ')})`);
  }
  let chosen: { command: AnyCommand; argv: Record<string, unknown> } | undefined;
  const parser = createParser((command, argv) => {
    chosen = { command, argv };
  });
  let help = '';
  await parser.parseAsync(args, {}, (error: unknown, _argv: unknown, output: string) => {
    if (error) throw error;
    help = output;
  });
  if (help !== '') return { help };
  if (chosen) return chosen;
  throw usageError(`no command was given; commands: ${names.join(', ')} (diffuse --help says more)`);
}

function createParser(choose: (command: AnyCommand, argv: Record<string, unknown>) => void): Argv {
  let parser = yargs()
    .scriptName('diffuse')
    .locale('en')
    .usage('$0 <command> [flags]\n\nTrains diffusion models on your own images and draws from them.')
    .parserConfiguration({
      'camel-case-expansion': false,
      'dot-notation': false,
      'duplicate-arguments-array': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'strip-aliased': true,
    })
    .exitProcess(false)
    .wrap(helpColumns)
    .version(version())
    .help()
    .option('json', { type: 'boolean', describe: 'machine-readable lines on stdout, nothing else there' })
    .option('quiet', { type: 'boolean', describe: 'no progress on stderr' })
    .fail((message: string | null, error: Error | undefined) => {
      throw error instanceof Failure ? error : usageError(parserMessage(message ?? messageOf(error)));
    }) as Argv;
  for (const command of commands) {
    const positional = Object.entries(command.settings).find(([, setting]) => setting.positional);
    parser = parser.command(
      positional ? `${command.name} <${positional[0]}>` : command.name,
      command.summary,
      (builder) => describeCommand(builder as Argv, command),
      (argv) => choose(command, argv as Record<string, unknown>),
    ) as Argv;
  }
  return parser.epilogue('Every command explains itself: diffuse <command> --help');
}

/** Tells the parser the flags of a command, for parsing and for help. Values stay text: {@link readFlags} checks them. */
function describeCommand(builder: Argv, { name, summary, settings, sections = [], examples }: AnyCommand): Argv {
  const positional = Object.entries(settings).find(([, setting]) => setting.positional);
  let parser = builder.usage(`$0 ${name}${positional ? ` ${positional[0].toUpperCase()}` : ''} [flags]\n\n${summary}`);
  for (const [key, setting] of Object.entries<Setting<unknown>>(settings)) {
    const { kind, description, group, defaultText, alias, required = false } = setting;
    if (setting.positional) {
      parser = parser.positional(key, { describe: description }) as Argv;
      continue;
    }
    const shown = defaultText ? `${description} [${defaultText}]` : description;
    parser = parser.option(kebabCase(key), {
      describe: required ? `${description} (required)` : shown,
      group,
      ...(alias !== undefined && { alias }),
      ...(kind.isSwitch ? { type: 'boolean' } : { nargs: 1, requiresArg: true }),
      ...(kind.choices && {
        describe: `${description}: ${kind.choices.join(', ')}${defaultText ? ` [${defaultText}]` : ''}`,
      }),
    }) as Argv;
  }
  for (const [command, what] of examples) parser = parser.example(command, what) as Argv;
  return parser.epilogue(sections.map(sectionText).join('\n\n'));
}

function sectionText([heading, entries]: HelpSection): string {
  const rows = Object.entries(entries).map(([name, { description }]) => [`  ${name}`, description]);
  return `${heading}\n${columns(rows)}`;
}

/**
 * The flags of a command, checked.
 *
 * @throws Failure for an unknown flag, a flag without its value, a value of another kind, or a missing flag.
 */
function readFlags(
  { name: commandName, settings }: AnyCommand,
  argv: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const byFlag = new Map(Object.keys(settings).map((key) => [kebabCase(key), key]));
  const values: Record<string, unknown> = {};
  for (const [flag, given] of Object.entries(argv)) {
    if (flag === '_' || flag === '$0' || commonSwitches.includes(flag) || given === undefined) continue;
    const key = byFlag.get(flag);
    const setting = key === undefined ? undefined : settings[key];
    if (key === undefined || setting === undefined) {
      const dashes = flag.length === 1 ? '-' : '--';
      const known = [...byFlag.keys(), ...commonSwitches];
      throw usageError(`${commandName} has no flag ${dashes}${flag}${didYouMean(flag, known, '--')}`);
    }
    const where = setting.positional ? key.toUpperCase() : `--${flag}`;
    const value = typeof given === 'string' ? setting.kind.fromText(given) : given;
    values[key] = checkValue<unknown>(setting.kind, value, where);
  }
  const [, extra] = argv._ as readonly string[];
  if (extra !== undefined) throw usageError(`${commandName} takes no further argument; got '${extra}'`);
  for (const [key, { required, kind }] of Object.entries<Setting<unknown>>(settings)) {
    if (required && values[key] === undefined) throw usageError(`--${kebabCase(key)} is missing: ${kind.expected}`);
  }
  return values;
}

/** What the parser itself complains about, in our words. */
function parserMessage(message: string): string {
  const missing = /^Not enough arguments following: (.+)$/.exec(message);
  if (missing) return `--${missing[1]} needs a value`;
  if (message.startsWith('Not enough non-option arguments')) return 'the folder of a model is missing';
  return message;
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
