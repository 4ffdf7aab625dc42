import type { Machine } from '../result.ts';
import { type ModeLoss, modeLosses } from './convergence.ts';
import type { TrainedRun } from './run-store.ts';

/** What `docs/bench/convergence.json` holds. */
export interface ConvergenceRecord {
  readonly machine: Machine;
  readonly commit: string;
  /** ISO 8601. */
  readonly date: string;
  /** Steps of a run. */
  readonly steps: number;
  /** The last steps, whose losses are averaged. */
  readonly averaged: number;
  /** Largest difference that was asked for. */
  readonly limit: number;
  readonly modes: readonly ModeLoss[];
  readonly runs: readonly TrainedRun[];
}

/** Losses keep so many digits: the modes differ by far more. */
const digits = 6;

/** Puts a record together. */
export function convergenceRecord(
  about: Omit<ConvergenceRecord, 'modes' | 'runs'>,
  runs: readonly TrainedRun[],
): ConvergenceRecord {
  const rounded = runs.map((run) => ({ ...run, loss: run.loss.map((loss) => Number(loss.toPrecision(digits))) }));
  return { ...about, modes: modeLosses(runs, about.averaged), runs: rounded };
}

/** Where a page has the table. */
const [begin, end] = ['<!-- convergence: begin -->', '<!-- convergence: end -->'];

/** A page with the table of a record between its marks; a page without them as it is. */
export function withTable(page: string, record: ConvergenceRecord): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) return page;
  return `${page.slice(0, from + begin.length)}\n\n${markdownTable(record)}\n\n${page.slice(to)}`;
}

function markdownTable({ averaged, modes }: ConvergenceRecord): string {
  const rows = modes.map(({ mode, loss, difference, bySeed }) => [
    mode,
    loss.toFixed(5),
    percent(difference),
    bySeed.map((seed) => percent(seed.difference)).join(', '),
  ]);
  const header = ['mode', `loss of the last ${averaged} steps`, 'off fp32, direct', 'seed by seed'];
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [header, widths.map((width) => '-'.repeat(width)), ...rows].map(line).join('\n');
}

function percent(fraction: number): string {
  const text = (100 * fraction).toFixed(2);
  return `${fraction > 0 ? '+' : ''}${text} %`;
}
