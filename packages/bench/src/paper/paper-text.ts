import { formatMs, table } from '../table.ts';
import type { Gpu } from './gpus.ts';
import { type EntryResources, type PaperCall, type Prediction, predict } from './predict.ts';

/** The calls of a step as one GPU would be given them. */
export interface PaperStep {
  readonly gpu: Gpu;
  readonly calls: readonly PaperCall[];
  readonly resourcesOf: (entry: string) => EntryResources;
}

/** Calls of one kernel and shape. */
interface Row {
  readonly call: PaperCall;
  readonly count: number;
  /** One a GPU, of a single call. */
  readonly predictions: readonly Prediction[];
}

/** A training step on paper: every kernel at every shape, with what it would take on each GPU; the longest on the first one first. */
export function paperText(title: string, steps: readonly PaperStep[]): string {
  const rows = rowsOf(steps);
  const totalMs = (gpu: number): number => rows.reduce((sum, row) => sum + rowMs(row, gpu), 0);
  const totals = steps.map(({ gpu }, i) => `${gpu.name} ${formatMs(totalMs(i))} ms`);
  const header = ['kernel and shape', 'calls', 'MB', 'scratch MB', 'GFLOP'];
  const gpuHeader = steps.flatMap(({ gpu }) => [`${gpu.name} ms`, 'bound by', 'occupancy', 'waves']);
  return [
    `${title}: ${totals.join(', ')}, predicted`,
    table(
      [...header, ...gpuHeader],
      rows
        .sort((a, b) => rowMs(b, 0) - rowMs(a, 0))
        .map((row) => [
          `${row.call.kernel} ${row.call.shape}`,
          String(row.count),
          (row.call.bytes / 1e6).toPrecision(3),
          row.call.scratchBytes > 0 ? (row.call.scratchBytes / 1e6).toPrecision(3) : '',
          row.call.flops > 0 ? (row.call.flops / 1e9).toPrecision(3) : '',
          ...row.predictions.flatMap(({ bound, occupancy, waves }, i) => [
            formatMs(rowMs(row, i)),
            bound,
            `${Math.round(100 * occupancy)} %`,
            waves.toPrecision(2),
          ]),
        ]),
    ),
  ].join('\n\n');
}

function rowMs({ count, predictions }: Row, gpu: number): number {
  return count * (predictions[gpu]?.ms ?? 0);
}

/** Calls of one kernel and shape that move as much are one row. Every GPU is given the same calls. */
function rowsOf(steps: readonly PaperStep[]): Row[] {
  const [first] = steps;
  const groups = new Map<string, number[]>();
  for (const [i, { kernel, shape, bytes }] of (first?.calls ?? []).entries()) {
    const key = [kernel, shape, bytes].join();
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  return [...groups.values()].map(([at = 0, ...others]) => ({
    call: first?.calls[at] as PaperCall,
    count: 1 + others.length,
    predictions: steps.map(({ gpu, calls, resourcesOf }) => predict(calls[at] as PaperCall, gpu, resourcesOf)),
  }));
}
