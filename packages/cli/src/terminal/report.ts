import { type Progress, type ProgressFields, startProgress } from './progress.ts';

/** Where text goes: a stream of the process, or a test's collector. */
export interface TextSink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** What a command tells its user, in the manner that `--quiet` and `--json` ask for. */
export interface Report {
  readonly json: boolean;
  /** A line for people, on stderr. */
  note(text: string): void;
  /** A line for people that also `--quiet` shows, on stderr. */
  warn(text: string): void;
  /** What the command was asked for, on stdout; left out with `--json`, which prints an event instead. */
  result(text: string): void;
  /** A line for machines on stdout, with `--json`. */
  event(event: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Begins a task whose progress is shown on stderr. */
  progress(task: string, total: number): Progress;
}

/** Options of {@link createReport}. */
export interface ReportOptions {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly quiet: boolean;
  readonly json: boolean;
}

/** Makes the report of one command. */
export function createReport({ stdout, stderr, quiet, json }: ReportOptions): Report {
  let running: Progress | undefined;
  const line = (text: string): void => {
    running?.hide();
    stderr.write(`${text}\n`);
  };
  return {
    json,
    note(text) {
      if (!quiet) line(text);
    },
    warn: line,
    result(text) {
      running?.hide();
      if (!json) stdout.write(`${text}\n`);
    },
    event(event, fields = {}) {
      if (json) stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
    },
    progress(task, total) {
      if (quiet) return silent;
      running?.end();
      running = startProgress(stderr, task, total);
      return running;
    },
  };
}

const silent: Progress = { update: (_done: number, _fields?: ProgressFields) => undefined, hide() {}, end() {} };
