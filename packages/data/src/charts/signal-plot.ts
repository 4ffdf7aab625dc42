import { DiffuseError } from '@diffuse/core';
import { tile } from './chart-grid.ts';
import { drawLineChart } from './line-chart.ts';
import { extentOf } from './scale.ts';
import { svgDocument } from './theme.ts';

/** Signals of one kind. */
export interface SignalSet {
  readonly label: string;
  /** [count, length, channels], as models of signals have them. */
  readonly data: ArrayLike<number>;
  readonly shape: readonly [count: number, length: number, channels: number];
}

/** What a picture of signals shows. */
export interface SignalPlotOptions {
  readonly title?: string;
  readonly subtitle?: string;
  /** For instance data and samples: a column each. */
  readonly sets: readonly SignalSet[];
  /** Signals of each set, from the first. Default 6. */
  readonly rows?: number;
  /** Pixels of a column at scale 1, 120 … 2048. Default 300. */
  readonly columnWidth?: number;
}

const rowHeight = 76;

/**
 * Draws signals as an SVG document: a column a set, a row a signal, a line a channel, all on one scale. A channel has the same colour in
 * every set: the first two are blue and orange.
 *
 * @throws DiffuseError `ERR_SHAPE` when shape and data do not fit; `ERR_ARGUMENT` when there is nothing to draw or an option is out of
 * range.
 */
export function signalPlot({
  title = '',
  subtitle = '',
  sets,
  rows = 6,
  columnWidth = 300,
}: SignalPlotOptions): string {
  if (!Number.isInteger(rows) || rows < 1 || rows > 64) {
    throw new DiffuseError('ERR_ARGUMENT', `rows must be a whole number from 1 to 64; got ${rows}`);
  }
  for (const set of sets) checkSet(set);
  const [low, high] = extentOf(
    'linear',
    sets.map(({ data }) => data),
  );
  if (low > high) throw new DiffuseError('ERR_ARGUMENT', 'a picture of signals needs at least one finite value');
  const margin = (high - low) * 0.05 || 1;
  const domain = [low - margin, high + margin] as const;
  const shown = Math.min(rows, Math.max(...sets.map(({ shape }) => shape[0])));
  const panels = Array.from({ length: shown }, (_, row) =>
    sets.map((set, column) => {
      const isLast = row === shown - 1;
      return drawLineChart({
        subtitle: row === 0 ? set.label : '',
        x: isLast ? {} : { ticks: [] },
        // Values are written once, on the left.
        y: column === 0 ? { domain, ticks: 2 } : { domain, ticks: 2, format: () => '' },
        series: channelsOf(set, row),
        width: columnWidth,
        height: rowHeight + (row === 0 ? 19 : 0) + (isLast ? 30 : 0),
      });
    }),
  );
  return svgDocument(tile(panels.flat(), { title, subtitle, columns: sets.length }), title);
}

function checkSet({ label, data, shape }: SignalSet): void {
  const [count, length, channels] = shape;
  const whole = shape.length === 3 && shape.every((side) => Number.isInteger(side) && side > 0);
  if (whole && data.length === count * length * channels) return;
  throw new DiffuseError(
    'ERR_SHAPE',
    `signals '${label}' must have the shape [count, length, channels], no side 0, and as many values; ` +
      `got [${shape.join(', ')}] and ${data.length} values`,
  );
}

/** One series a channel of signal `index`; a set with fewer signals repeats its last. */
function channelsOf({ data, shape }: SignalSet, index: number): { y: Float64Array }[] {
  const [count, length, channels] = shape;
  const signal = Math.min(index, count - 1);
  return Array.from({ length: channels }, (_, channel) => ({
    y: Float64Array.from({ length }, (_, i) => data[(signal * length + i) * channels + channel] as number),
  }));
}
