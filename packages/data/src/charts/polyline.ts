import { coordinate } from './svg.ts';

/** Columns of a plot that are told apart, a pixel. */
const columnsPerPixel = 2;

type Point = readonly [x: number, y: number];

interface Column {
  readonly at: number;
  readonly first: Point;
  last: Point;
  low: Point;
  high: Point;
}

/**
 * Path data of a line through points in pixels. A point that is no number leaves a gap; a point alone between gaps becomes a dot (with
 * round line ends). Where many points share a column of pixels, its first, lowest, highest and last are drawn: the same picture in a
 * fraction of the bytes.
 */
export function polyline(count: number, pointAt: (index: number) => Point): string {
  const pieces: string[] = [];
  let column: Column | undefined;
  let run: Point[] = [];
  const endColumn = (): void => {
    if (column) run.push(...corners(column));
    column = undefined;
  };
  const endRun = (): void => {
    endColumn();
    if (run.length > 0) pieces.push(pathOf(run));
    run = [];
  };
  for (let i = 0; i < count; i++) {
    const point = pointAt(i);
    const [x, y] = point;
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      endRun();
      continue;
    }
    const at = Math.floor(x * columnsPerPixel);
    if (column?.at !== at) {
      endColumn();
      column = { at, first: point, last: point, low: point, high: point };
      continue;
    }
    column.last = point;
    if (y > column.low[1]) column.low = point;
    if (y < column.high[1]) column.high = point;
  }
  endRun();
  return pieces.join('');
}

/** What is drawn of a column, without points that come twice. */
function corners({ first, low, high, last }: Column): Point[] {
  const inner = low[0] <= high[0] ? [low, high] : [high, low];
  return [first, ...inner, last].filter((point, i, all) => all.indexOf(point) === i);
}

function pathOf(run: readonly Point[]): string {
  const [first, ...rest] = simplified(run).map(([x, y]) => `${coordinate(x)} ${coordinate(y)}`);
  return rest.length === 0 ? `M${first}h0` : `M${first}L${rest.join(' ')}`;
}

/** Pixels by which a simplified line may miss a point: less than an eye can see at any scale. */
const tolerance = 0.08;

/** Leaves out points that are on the way between others (Ramer 1972, Douglas and Peucker 1973). */
function simplified(points: readonly Point[]): readonly Point[] {
  const kept = new Set([0, points.length - 1]);
  const open: [from: number, to: number][] = [[0, points.length - 1]];
  for (let span = open.pop(); span; span = open.pop()) {
    const [from, to] = span;
    const { index, distance } = farthest(points, from, to);
    if (distance <= tolerance) continue;
    kept.add(index);
    open.push([from, index], [index, to]);
  }
  return points.filter((_, i) => kept.has(i));
}

/** The point between two others that is farthest from their chord. */
function farthest(points: readonly Point[], from: number, to: number): { index: number; distance: number } {
  const [x1, y1] = points[from] as Point;
  const [x2, y2] = points[to] as Point;
  const length = Math.hypot(x2 - x1, y2 - y1);
  let best = { index: from, distance: 0 };
  for (let index = from + 1; index < to; index++) {
    const [x, y] = points[index] as Point;
    const distance =
      length === 0 ? Math.hypot(x - x1, y - y1) : Math.abs((x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1)) / length;
    if (distance > best.distance) best = { index, distance };
  }
  return best;
}
