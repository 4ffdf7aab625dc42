import type { SettingTable } from './settings/kinds.ts';
import type { Report } from './terminal/report.ts';

/** What a running command has besides its flags. */
export interface CommandContext {
  readonly report: Report;
  /** Width of the terminal, or what stands for it. */
  readonly columns: number;
}

/** A named list below the flags in `--help`: what a choice means. */
export type HelpSection = readonly [
  heading: string,
  entries: Readonly<Record<string, { readonly description: string }>>,
];

/** One command of `diffuse`: its flags and what it does. */
export interface Command<S> {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly settings: SettingTable<S>;
  readonly sections?: readonly HelpSection[];
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Heavy modules are imported here, so that a help text never loads them. */
  run(values: Partial<S>, context: CommandContext): Promise<void>;
}

/** A command whose flags are of any kind, for the list of all. */
export type AnyCommand = Command<Record<string, unknown>>;

/** Hides which flags a command has. The parser checks each value with its own kind before `run` sees it. */
export function anyCommand<S>(command: Command<S>): AnyCommand {
  return command as unknown as AnyCommand;
}
