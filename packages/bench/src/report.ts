import { disturbedCores } from './alternate.ts';
import type { BenchResult, CaseResult } from './result.ts';
import type { Timing } from './statistics.ts';
import { formatBytes, formatMs, table } from './table.ts';

/** The result as people read it. */
export function reportText({ machine, commit, cases, notes }: BenchResult): string {
  const peaks = { float32: machine.fmaGflops, bf16: machine.bf16Gflops };
  const peak = Object.entries(peaks).map(([name, value]) =>
    value === undefined ? '' : `, ${name} peak ${value.toFixed(0)} GFLOP/s`,
  );
  const held = machine.heldTo === undefined ? '' : `, both sides held to ${machine.heldTo}`;
  const tf32 = machine.tf32 ? ', float32 multiplied as tf32' : '';
  const facts = [
    `${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}${peak.join('')}`,
    `${deviceText(machine)}${tf32}${held}; ${machine.isa.join(' ')}`,
    `${machine.os}${machine.driver === undefined ? '' : `, NVIDIA driver ${machine.driver}`}, Node.js ${machine.node}, commit ${commit}`,
  ];
  const suites = [...new Set(cases.map(({ suite }) => suite))];
  const tables = suites.map((suite) => {
    const rows = cases.filter((row) => row.suite === suite);
    return rows.some(({ figure }) => figure) ? figureTable(suite, rows) : suiteTable(suite, rows);
  });
  return [facts.join('\n'), ...tables, ...goalTable(cases), ...notes.map((note) => `note: ${note}`)].join('\n\n');
}

function deviceText({ device, threads }: BenchResult['machine']): string {
  return `${device}, ${threads} ${device.startsWith('cuda:') ? 'multiprocessors' : 'threads'}`;
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

const columns = [
  ...['ours ms', 'spread', 'memory', 'peer ms', 'spread', 'memory', 'ratio', 'of peak', 'of memory', 'busy'],
  'variant of the peer',
];

/** Columns that no row of the suite has anything to say in are left out. */
function suiteTable(suite: string, rows: readonly CaseResult[]): string {
  const cells = rows.map(rowCells);
  const shown = [suite, ...columns].map((_, column) => column === 0 || cells.some((row) => row[column] !== ''));
  const pick = (row: readonly string[]): readonly string[] => row.filter((_, column) => shown[column]);
  const header = pick([suite, ...columns]);
  const text = table(header, cells.map(pick), [header.indexOf('variant of the peer')]);
  const remarks = [
    ...(rows.some((row) => row.memoryRatio !== undefined) ? ["ratio: the peer's memory over ours"] : []),
    ...(rows.some((row) => (row.otherCores ?? 0) > disturbedCores)
      ? [`! others kept more than ${disturbedCores} cores busy meanwhile: not to be trusted`]
      : []),
  ];
  return [text, ...remarks].join('\n');
}

function rowCells(row: CaseResult): string[] {
  const { name, ours, peer, ratio, memoryRatio, otherCores } = row;
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
    percent(row.fractionOfPeak),
    percent(row.fractionOfBandwidth),
    otherCores === undefined ? '' : `${otherCores.toFixed(2)}${otherCores > disturbedCores ? ' !' : ''}`,
    peer ? `${peer.name} ${peer.variant}${peer.precision === 'fp32' ? '' : `, ${peer.precision}`}` : '',
  ];
}

function percent(fraction: number | undefined): string {
  return fraction === undefined ? '' : `${(100 * fraction).toFixed(0)} %`;
}

/** What was asked of the rows, and whether it holds. */
function goalTable(cases: readonly CaseResult[]): readonly string[] {
  const rows = cases.flatMap(({ suite, name, goals = [] }) =>
    goals.map((asked) => [
      `${suite}: ${name}`,
      asked.name,
      asked.value >= 1000 ? asked.value.toFixed(0) : asked.value.toPrecision(3),
      `${asked.better === 'lower' ? '<=' : '>='} ${asked.limit}`,
      asked.holds ? 'yes' : 'NO',
    ]),
  );
  return rows.length === 0 ? [] : [table(['asked', 'figure', 'value', 'must be', 'holds'], rows, [1])];
}

function spread({ minMs, maxMs }: Timing): string {
  return `${formatMs(minMs)}-${formatMs(maxMs)}`;
}
