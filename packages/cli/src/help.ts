import yargs, { type Argv } from 'yargs';
import { parserConfiguration } from './arguments.ts';
import type { AnyCommand, HelpSection } from './command.ts';
import { kebabCase, type Setting } from './settings/kinds.ts';
import { columns } from './terminal/format.ts';

/** Columns of a help text: the same everywhere, so that it reads the same everywhere. */
const helpColumns = 100;

/** The help text of one command, or of all. */
export async function helpText(commands: readonly AnyCommand[], command?: AnyCommand): Promise<string> {
  let parser = yargs()
    .scriptName('diffuse')
    .locale('en')
    .usage('$0 <command> [flags]\n\nTrains diffusion models on your own images and draws from them.')
    .parserConfiguration(parserConfiguration)
    .exitProcess(false)
    .wrap(helpColumns)
    .version('')
    .help()
    .option('json', { type: 'boolean', describe: 'machine-readable lines on stdout, nothing else there' })
    .option('quiet', { type: 'boolean', describe: 'no progress on stderr' }) as Argv;
  for (const each of commands) {
    const positional = positionalOf(each);
    const place = positional && (positional.required ? `<${positional.name}>` : `[${positional.name}]`);
    parser = parser.command(
      place ? `${each.name} ${place}` : each.name,
      each.summary,
      (builder) => describeCommand(builder as Argv, each),
      () => undefined,
    ) as Argv;
  }
  parser = parser.epilogue('Every command explains itself: diffuse <command> --help');
  return new Promise((resolve, reject) => {
    const args = [...(command ? [command.name] : []), '--help'];
    parser.parse(args, {}, (error: unknown, _argv: unknown, output: string) =>
      error ? reject(error) : resolve(output),
    );
  });
}

/** Tells yargs the flags of a command. */
function describeCommand(builder: Argv, command: AnyCommand): Argv {
  const { name, summary, settings, sections = [], examples } = command;
  const positional = positionalOf(command);
  const argument = positional?.name.toUpperCase();
  const place = positional && (positional.required ? argument : `[${argument}]`);
  let parser = builder.usage(`$0 ${name}${place ? ` ${place}` : ''} [flags]\n\n${summary}`);
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
  for (const [line, what] of examples) parser = parser.example(line, what) as Argv;
  return parser.epilogue(sections.map(sectionText).join('\n\n'));
}

/** The argument of a command that stands without its name. */
function positionalOf({ settings }: AnyCommand): { name: string; required: boolean } | undefined {
  const [name, setting] = Object.entries<Setting<unknown>>(settings).find(([, { positional }]) => positional) ?? [];
  return name === undefined ? undefined : { name, required: setting?.required === true };
}

function sectionText([heading, entries]: HelpSection): string {
  const rows = Object.entries(entries).map(([name, { description }]) => [`  ${name}`, description]);
  return `${heading}\n${columns(rows)}`;
}
