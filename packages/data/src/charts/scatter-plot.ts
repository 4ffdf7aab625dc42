import { DiffuseError } from '@diffuse/core';
import { type Axis, drawFrame, type Frame } from './frame.ts';
import { clipped } from './line-chart.ts';
import { extentOf } from './scale.ts';
import { coordinate, element } from './svg.ts';
import { checkSide, seriesColour, svgDocument } from './theme.ts';

/** Points of one kind. */
export interface PointSet {
  readonly label: string;
  /** [count, 2]: x and y of each point in turn. Points that are not finite are left out. */
  readonly points: ArrayLike<number>;
  /** Which colour of the palette, from 0. Default: the place among the sets. */
  readonly colour?: number;
}

/** What a scatter plot shows. */
export interface ScatterPlotOptions {
  readonly title?: string;
  readonly subtitle?: string;
  /** For instance data and samples; later sets are drawn over earlier ones. */
  readonly sets: readonly PointSet[];
  readonly x?: Axis;
  readonly y?: Axis;
  /** Pixels at scale 1, 120 … 8192. Default 480. */
  readonly width?: number;
  /** Pixels at scale 1, 60 … 8192. Default 480. */
  readonly height?: number;
  /** Of a set with more points, so many are drawn, evenly picked. Default 2000. */
  readonly most?: number;
}

/**
 * Draws points of the plane as an SVG document, a unit as long upright as along: what a model drew beside what it was shown.
 *
 * @throws DiffuseError `ERR_SHAPE` for an odd number of coordinates; `ERR_ARGUMENT` when there is nothing to draw or an option is out of
 * range.
 */
export function scatterPlot(options: ScatterPlotOptions): string {
  const { title = '', subtitle = '', sets, x = {}, y = {}, width = 480, height = 480, most = 2000 } = options;
  checkSide('width', width, 120);
  checkSide('height', height, 60);
  if (!Number.isInteger(most) || most < 1) {
    throw new DiffuseError('ERR_ARGUMENT', `most must be a whole number above 0; got ${most}`);
  }
  for (const { label, points } of sets) {
    if (points.length % 2 !== 0) {
      throw new DiffuseError('ERR_SHAPE', `points '${label}' must be pairs of x and y; got ${points.length} numbers`);
    }
  }
  const extents = { x: extentAlong(sets, 0), y: extentAlong(sets, 1) };
  if (extents.x[0] > extents.x[1]) throw new DiffuseError('ERR_ARGUMENT', 'a scatter plot needs at least one point');
  const key = sets.map(({ label, colour }, i) => ({ label, colour: seriesColour(colour ?? i), dots: true }));
  const common = { width, height, title, subtitle, key, rightMargin: 0, square: true };
  let frame = drawFrame({ ...common, x, y, extents });
  // The domains follow from the shape of the plot, and that from the width of the labels: the second round agrees with the first.
  for (let round = 0; round < 2; round++) {
    const aspect = frame.plot.width / frame.plot.height;
    const [xDomain, yDomain] = squared(x.domain ?? extents.x, y.domain ?? extents.y, aspect);
    frame = drawFrame({ ...common, x: { ...x, domain: xDomain }, y: { ...y, domain: yDomain }, extents });
  }
  const dots = sets.map((set, i) => drawPoints(set, i, frame, most)).join('\n');
  return svgDocument({ width, height, body: `${frame.body}\n${clipped(dots, frame.plot)}` }, title);
}

function extentAlong(sets: readonly PointSet[], axis: 0 | 1): [low: number, high: number] {
  const values = sets.map(({ points }) =>
    Array.from({ length: points.length / 2 }, (_, i) => points[2 * i + axis] as number),
  );
  return extentOf('linear', values);
}

type Domain = readonly [low: number, high: number];

/** Share of the plot that stays free around the points. */
const padding = 0.04;

/** Widens one of two domains, so that a unit has the same length on both axes. */
function squared(x: Domain, y: Domain, aspect: number): [Domain, Domain] {
  const [xLength, yLength] = [x[1] - x[0], y[1] - y[0]];
  const length = Math.max(xLength / aspect, yLength) * (1 + 2 * padding) || 1;
  const around = ([low, high]: Domain, size: number): Domain => [(low + high - size) / 2, (low + high + size) / 2];
  return [around(x, length * aspect), around(y, length)];
}

/** Dots as strokes of no length with round ends: a third of the bytes of circles. Several paths, so that crowds are darker. */
const layers = 6;

function drawPoints({ points, colour }: PointSet, index: number, { toX, toY }: Frame, most: number): string {
  const count = points.length / 2;
  const drawn = Math.min(count, most);
  const paths = Array.from({ length: layers }, () => '');
  for (let i = 0; i < drawn; i++) {
    const from = Math.floor((i * count) / drawn);
    const [x, y] = [toX(points[2 * from] as number), toY(points[2 * from + 1] as number)];
    if (Number.isFinite(x) && Number.isFinite(y)) paths[i % layers] += `M${coordinate(x)} ${coordinate(y)}h0`;
  }
  return element(
    'g',
    {
      fill: 'none',
      stroke: seriesColour(colour ?? index),
      'stroke-width': 3,
      'stroke-linecap': 'round',
      'stroke-opacity': 0.5,
    },
    paths
      .filter((d) => d !== '')
      .map((d) => element('path', { d }))
      .join('\n'),
  );
}
