import { DiffuseError } from '@diffuse/core';
import { type Annotation, drawAnnotations } from './annotations.ts';
import { endLabels, endLabelWidth } from './end-labels.ts';
import { type Axis, type Box, drawFrame, type Frame, type KeyEntry } from './frame.ts';
import { polyline } from './polyline.ts';
import { extentOf } from './scale.ts';
import { type Drawing, element } from './svg.ts';
import { checkSide, palette, seriesColour, svgDocument } from './theme.ts';

/** One line of a chart. */
export interface Series {
  /** Stands beside the line's end, or in a key where ends are too close. Without it, the line is not named. */
  readonly label?: string;
  /** Values along, of the same number as `y`. Default 0, 1, 2 … */
  readonly x?: ArrayLike<number>;
  /** Values upright; one that is not finite (or not above 0 on a log scale) leaves a gap. */
  readonly y: ArrayLike<number>;
  /** Which colour of the palette, from 0. Default: the place among the series. */
  readonly colour?: number;
  /** Default: only after the last colour of the palette, when colours begin anew. */
  readonly dashed?: boolean;
  /** Thin and pale: measurements behind their trend. Default false. */
  readonly faint?: boolean;
  /** Dots at the points. Default false. */
  readonly dots?: boolean;
}

/** What a chart shows. */
export interface LineChartOptions {
  readonly title?: string;
  /** A line below the title: what is seen, and of what. */
  readonly subtitle?: string;
  readonly x?: Axis;
  readonly y?: Axis;
  readonly series: readonly Series[];
  readonly annotations?: readonly Annotation[];
  /** Where series are named: beside their ends where there is room (`auto`), in a key above the plot, or nowhere. Default `auto`. */
  readonly names?: 'auto' | 'key' | 'none';
  /** Pixels at scale 1, 120 … 8192. Default 680. */
  readonly width?: number;
  /** Pixels at scale 1, 60 … 8192. Default 400. */
  readonly height?: number;
}

/**
 * Draws lines over two axes as an SVG document. The same options give the same bytes; nothing in it is loaded or run. It is legible on
 * light and on dark paper, and `renderSvg` writes it as a file.
 *
 * @throws DiffuseError `ERR_ARGUMENT` when there is nothing to draw or an option is out of range; `ERR_SHAPE` when x and y of a series
 * differ in number.
 */
export function lineChart(options: LineChartOptions): string {
  return svgDocument(drawLineChart(options), options.title);
}

/** {@link lineChart} as a part of a larger picture. */
export function drawLineChart(options: LineChartOptions): Drawing {
  const { title = '', subtitle = '', x = {}, y = {}, series, annotations = [] } = options;
  const { names: where = 'auto', width = 680, height = 400 } = options;
  checkSide('width', width, 120);
  checkSide('height', height, 60);
  checkSeries(series);
  const extents = { x: extentOf(x.scale ?? 'linear', series.map(xOf)), y: visibleExtent(series, x, y) };
  if (extents.x[0] > extents.x[1] || extents.y[0] > extents.y[1]) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      'a chart needs at least one point with finite values that its scales can show',
    );
  }
  const names = where === 'none' ? [] : keyOf(series);
  const common = { width, height, title, subtitle, x, y, extents };
  const beside = drawFrame({ ...common, key: [], rightMargin: endLabelWidth(names) });
  const lineEnds = names.length === 0 ? [] : series.flatMap((each, i) => endOf(each, i, beside));
  const labels = where === 'key' ? undefined : endLabels(lineEnds, beside.plot);
  const frame = labels === undefined ? drawFrame({ ...common, key: names, rightMargin: 0 }) : beside;
  const lines = series.map((each, i) => drawSeries(each, i, frame)).join('\n');
  const body = [frame.body, clipped(lines, frame.plot), labels ?? '', drawAnnotations(annotations, frame)];
  return { width, height, body: body.filter((part) => part !== '').join('\n') };
}

function checkSeries(series: readonly Series[]): void {
  if (series.length === 0) throw new DiffuseError('ERR_ARGUMENT', 'a chart needs at least one series');
  for (const [i, { x, y }] of series.entries()) {
    if (x && x.length !== y.length) {
      throw new DiffuseError('ERR_SHAPE', `series ${i} has ${x.length} values of x and ${y.length} of y`);
    }
  }
}

function xOf({ x, y }: Series): ArrayLike<number> {
  return x ?? Array.from({ length: y.length }, (_, i) => i);
}

/** Lowest and highest y of the points whose x is on the chart. */
function visibleExtent(series: readonly Series[], x: Axis, y: Axis): [low: number, high: number] {
  const [low, high] = x.domain ?? [-Infinity, Infinity];
  const visible = series.map((each) => {
    const along = xOf(each);
    return Array.from(each.y).filter((_, i) => (along[i] as number) >= low && (along[i] as number) <= high);
  });
  return extentOf(y.scale ?? 'linear', visible);
}

const dashes = '5 4';

function styleOf(series: Series, index: number): { colour: string; dash: string | undefined } {
  const place = series.colour ?? index;
  const { dashed = place >= palette.length } = series;
  return { colour: seriesColour(place), dash: dashed ? dashes : undefined };
}

/** The names of all series that have one. */
export function keyOf(series: readonly Series[]): readonly KeyEntry[] {
  return series.flatMap((each, i) => (each.label ? [keyEntry(each, i)] : []));
}

function keyEntry(series: Series, index: number): KeyEntry {
  return { label: series.label ?? '', ...styleOf(series, index) };
}

/** Where a named series ends, if that is inside the plot. */
function endOf(series: Series, index: number, { toX, toY }: Frame): { x: number; y: number; entry: KeyEntry }[] {
  if (!series.label) return [];
  const x = xOf(series);
  for (let i = series.y.length - 1; i >= 0; i--) {
    const [endX, endY] = [toX(x[i] as number), toY(series.y[i] as number)];
    if (Number.isFinite(endX) && Number.isFinite(endY)) return [{ x: endX, y: endY, entry: keyEntry(series, index) }];
  }
  return [];
}

function drawSeries(series: Series, index: number, { toX, toY }: Frame): string {
  const { faint = false, dots = false, y } = series;
  const x = xOf(series);
  const { colour, dash } = styleOf(series, index);
  const pointAt = (i: number): readonly [number, number] => [toX(x[i] as number), toY(y[i] as number)];
  const stroke = element('path', {
    d: polyline(y.length, pointAt),
    fill: 'none',
    stroke: colour,
    'stroke-width': faint ? 1 : 1.8,
    'stroke-opacity': faint ? 0.35 : undefined,
    'stroke-linejoin': 'round',
    'stroke-linecap': 'round',
    'stroke-dasharray': dash,
  });
  if (!dots) return stroke;
  const marks = Array.from({ length: y.length }, (_, i) => pointAt(i))
    .filter(([px, py]) => Number.isFinite(px) && Number.isFinite(py))
    .map(([px, py]) => element('circle', { cx: px, cy: py, r: 2.6, fill: colour }));
  return stroke + marks.join('');
}

/** Room that strokes along the edge of the plot need. */
const bleed = 3;

/** Data that reach beyond the plot end at its edge. */
export function clipped(content: string, { left, top, width, height }: Box): string {
  const [x, y, w, h] = [left - bleed, top - bleed, width + 2 * bleed, height + 2 * bleed];
  return element('svg', { x, y, width: w, height: h, viewBox: [x, y, w, h].join(' ') }, content);
}
