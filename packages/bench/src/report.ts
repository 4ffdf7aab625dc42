import { disturbedCores } from './alternate.ts';
import type { BenchResult, CaseResult } from './result.ts';
import type { Timing } from './statistics.ts';
import { formatBytes, formatMs, table } from './table.ts';

/** The result as people read it. */
export function reportText({ machine, commit, cases, notes }: BenchResult): string {
  const peak = machine.fmaGflops === undefined ? '' : `, float32 peak ${machine.fmaGflops.toFixed(0)} GFLOP/s`;
  const facts = [
    `${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}${peak}`,
    `${machine.device}, ${machine.threads} threads; ${machine.isa.join(' ')}`,
    `${machine.os}, Node.js ${machine.node}, commit ${commit}`,
  ];
  const suites = [...new Set(cases.map(({ suite }) => suite))];
  const tables = suites.map((suite) => {
    const rows = cases.filter((row) => row.suite === suite);
    return rows.some(({ figure }) => figure) ? figureTable(suite, rows) : suiteTable(suite, rows);
  });
  return [facts.join('\n'), ...tables, ...notes.map((note) => `note: ${note}`)].join('\n\n');
}

function figureTable(suite: string, rows: readonly CaseResult[]): string {
  return table([suite, 'figure', 'value', 'must be', 'trained in'], rows.map(figureCells), [1]);
}

function figureCells({ name, ours, figure }: CaseResult): string[] {
  const time = `${(ours.medianMs / 60_000).toFixed(1)} min`;
  if (!figure) return [name, '', '', '', time];
  const { value, better, limit } = figure;
  const bound = limit === undefined ? '' : `${better === 'lower' ? '<=' : '>='} ${limit.toPrecision(4)}`;
  return [name, figure.name, value.toPrecision(4), bound, time];
}

function suiteTable(suite: string, rows: readonly CaseResult[]): string {
  const disturbed = rows.some((row) => (row.otherCores ?? 0) > disturbedCores);
  const text = table(
    [
      suite,
      'ours ms',
      'spread',
      'memory',
      'peer ms',
      'spread',
      'memory',
      'ratio',
      'of peak',
      'busy',
      'variant of the peer',
    ],
    rows.map(rowCells),
    [10],
  );
  const remarks = [
    ...(rows.some((row) => row.memoryRatio !== undefined) ? ["ratio: the peer's memory over ours"] : []),
    ...(disturbed ? [`! others kept more than ${disturbedCores} cores busy meanwhile: not to be trusted`] : []),
  ];
  return [text, ...remarks].join('\n');
}

function rowCells({ name, ours, peer, ratio, memoryRatio, fractionOfPeak, otherCores }: CaseResult): string[] {
  const best = ratio ?? (memoryRatio === undefined ? undefined : 1 / memoryRatio);
  return [
    name,
    formatMs(ours.medianMs),
    spread(ours),
    ours.peakBytes > 0 ? formatBytes(ours.peakBytes) : '',
    peer ? formatMs(peer.medianMs) : '',
    peer ? spread(peer) : '',
    peer?.peakBytes === undefined ? '' : formatBytes(peer.peakBytes),
    best === undefined ? '' : best.toFixed(2),
    fractionOfPeak === undefined ? '' : `${(100 * fractionOfPeak).toFixed(0)} %`,
    otherCores === undefined ? '' : `${otherCores.toFixed(2)}${otherCores > disturbedCores ? ' !' : ''}`,
    peer ? `${peer.name} ${peer.variant}` : '',
  ];
}

function spread({ minMs, maxMs }: Timing): string {
  return `${formatMs(minMs)}-${formatMs(maxMs)}`;
}
