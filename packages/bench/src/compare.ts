import type { BenchResult, CaseResult } from './result.ts';
import { formatBytes, formatMs, table } from './table.ts';

/** How one case changed between two results. */
export interface CaseChange {
  readonly suite: string;
  readonly name: string;
  readonly beforeMs: number;
  readonly afterMs: number;
  /** `beforeMs / afterMs`: above 1 it became faster. */
  readonly speedup: number;
  /** Least and largest speed-up that the spreads of both sides allow. */
  readonly speedupRange: readonly [least: number, largest: number];
  /** `same` while the spreads overlap. */
  readonly verdict: 'faster' | 'slower' | 'same';
  readonly beforeBytes: number;
  readonly afterBytes: number;
  /** Of cases that have a figure, its values. */
  readonly figure?: { readonly name: string; readonly before: number; readonly after: number };
}

/** What {@link compareResults} finds. */
export interface ResultComparison {
  readonly changes: readonly CaseChange[];
  /** Names of cases that only one of the results has. */
  readonly unmatched: readonly string[];
  /** Why the numbers may not be comparable. */
  readonly warnings: readonly string[];
}

/** Compares our side of the cases that two results have in common. */
export function compareResults(before: BenchResult, after: BenchResult): ResultComparison {
  const key = ({ suite, name, precision }: CaseResult): string => `${suite}: ${name}, ${precision}`;
  const earlier = new Map(before.cases.map((row) => [key(row), row]));
  const later = new Map(after.cases.map((row) => [key(row), row]));
  const changes = [...later].flatMap(([name, row]) => {
    const old = earlier.get(name);
    return old ? [change(old, row)] : [];
  });
  const unmatched = [
    ...[...earlier.keys()].filter((name) => !later.has(name)),
    ...[...later.keys()].filter((name) => !earlier.has(name)),
  ];
  const warnings = (['cpu', 'device', 'threads'] as const).flatMap((field) => {
    const [a, b] = [before.machine[field], after.machine[field]];
    return a === b ? [] : [`the results are of different machines: ${field} is ${a} and ${b}`];
  });
  return { changes, unmatched, warnings };
}

function change(earlier: CaseResult, later: CaseResult): CaseChange {
  const { suite, name, ours: before, figure: figureBefore } = earlier;
  const { ours: after, figure: figureAfter } = later;
  const least = before.minMs / after.maxMs;
  const largest = before.maxMs / after.minMs;
  return {
    suite,
    name,
    beforeMs: before.medianMs,
    afterMs: after.medianMs,
    speedup: before.medianMs / after.medianMs,
    speedupRange: [least, largest],
    verdict: least > 1 ? 'faster' : largest < 1 ? 'slower' : 'same',
    beforeBytes: before.peakBytes,
    afterBytes: after.peakBytes,
    ...(figureBefore &&
      figureAfter && { figure: { name: figureAfter.name, before: figureBefore.value, after: figureAfter.value } }),
  };
}

/** The comparison as people read it. */
export function comparisonText(before: BenchResult, after: BenchResult): string {
  const { changes, unmatched, warnings } = compareResults(before, after);
  const rows = changes.map((row) => [
    `${row.suite}: ${row.name}`,
    formatMs(row.beforeMs),
    formatMs(row.afterMs),
    row.speedup.toFixed(2),
    row.speedupRange.map((bound) => bound.toFixed(2)).join('-'),
    row.verdict,
    row.beforeBytes > 0 ? formatBytes(row.beforeBytes) : '',
    row.afterBytes > 0 ? formatBytes(row.afterBytes) : '',
  ]);
  const header = ['case', 'before ms', 'after ms', 'speed-up', 'range', 'verdict', 'memory', 'memory'];
  return [
    `before ${before.commit}, ${before.date}\nafter  ${after.commit}, ${after.date}`,
    table(header, rows),
    ...changes.flatMap(({ name, figure }) =>
      figure ? [`${name}: ${figure.before.toPrecision(4)} before, ${figure.after.toPrecision(4)} after`] : [],
    ),
    ...warnings.map((warning) => `warning: ${warning}`),
    ...unmatched.map((name) => `only in one of the results: ${name}`),
  ].join('\n\n');
}
