import { DiffuseError } from '@diffuse/core';
import { drawHeading, type KeyEntry } from './frame.ts';
import { drawLineChart, keyOf, type LineChartOptions } from './line-chart.ts';
import { type Drawing, place } from './svg.ts';
import { svgDocument } from './theme.ts';

/** What a picture of several charts shows. */
export interface ChartGridOptions {
  /** Stands above all charts. */
  readonly title?: string;
  readonly subtitle?: string;
  /** The charts, row by row. Their sizes count; give all of a row the same height. */
  readonly charts: readonly LineChartOptions[];
  /** Charts in a row. Default: all in one. */
  readonly columns?: number;
  /** Whether the series of the first chart are named once, above all charts, and not in each. Default false. */
  readonly sharedKey?: boolean;
}

/**
 * Draws charts side by side as one SVG document: small multiples that the eye compares.
 *
 * @throws DiffuseError `ERR_ARGUMENT` when there is no chart or columns is no whole number above 0, and what `lineChart` throws.
 */
export function chartGrid(options: ChartGridOptions): string {
  const { title = '', subtitle = '', charts, columns = charts.length, sharedKey = false } = options;
  if (charts.length === 0) throw new DiffuseError('ERR_ARGUMENT', 'a picture of charts needs at least one chart');
  if (!Number.isInteger(columns) || columns < 1) {
    throw new DiffuseError('ERR_ARGUMENT', `columns must be a whole number above 0; got ${columns}`);
  }
  const drawings = charts.map((chart) => drawLineChart(sharedKey ? { ...chart, names: 'none' } : chart));
  const key = sharedKey ? keyOf(charts[0]?.series ?? []) : [];
  return svgDocument(tile(drawings, { title, subtitle, columns, key }), title);
}

/** Places drawings in rows of `columns` below a heading. */
export function tile(
  drawings: readonly Drawing[],
  {
    title,
    subtitle,
    columns,
    key = [],
  }: { title: string; subtitle: string; columns: number; key?: readonly KeyEntry[] },
): Drawing {
  const rows = Array.from({ length: Math.ceil(drawings.length / columns) }, (_, row) =>
    drawings.slice(row * columns, (row + 1) * columns),
  );
  const width = Math.max(...rows.map((row) => row.reduce((sum, drawing) => sum + drawing.width, 0)));
  const heading = drawHeading({ width, title, subtitle, key });
  const parts = [heading.body];
  let y = title === '' && subtitle === '' && key.length === 0 ? 0 : heading.height;
  for (const row of rows) {
    let x = 0;
    for (const drawing of row) {
      parts.push(place(drawing, x, y));
      x += drawing.width;
    }
    y += Math.max(...row.map(({ height }) => height));
  }
  return { width, height: y, body: parts.filter((part) => part !== '').join('\n') };
}
