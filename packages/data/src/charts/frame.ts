import { createScale, type Scale, type ScaleName } from './scale.ts';
import { type Drawing, element, line } from './svg.ts';
import { text, textLength, textSizes } from './text.ts';

/** One axis of a chart. */
export interface Axis {
  /** What is measured, with its unit. */
  readonly label?: string;
  /** Default `linear`. On a log scale, values that are not above 0 leave a gap. */
  readonly scale?: ScaleName;
  /** The ends, the lower first. Default: those of the data; upright, the next ticks around them. */
  readonly domain?: readonly [low: number, high: number];
  /** About how many ticks have a label, or where they are; `[]` for no axis at all. Default: what there is room for. */
  readonly ticks?: number | readonly number[];
  /** How a tick is labelled. */
  readonly format?: (value: number) => string;
  /** Least pixels for the labels of an upright axis: charts above each other begin at one line. Default 0. */
  readonly room?: number;
}

/** A rectangle in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Where a series is named: beside its end, or in a key above the plot. */
export interface KeyEntry {
  readonly label: string;
  readonly colour: string;
  /** Pattern of the stroke, or dots. */
  readonly dash?: string | undefined;
  readonly dots?: boolean;
}

/** What {@link drawFrame} needs. */
export interface FrameOptions {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly subtitle: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly extents: { readonly x: readonly [number, number]; readonly y: readonly [number, number] };
  readonly key: readonly KeyEntry[];
  /** Room to the right of the plot, for the names of series. */
  readonly rightMargin: number;
  /** Whether a unit is as long upright as along: points of the plane. */
  readonly square?: boolean;
}

/** Axes, ticks and titles, and where the data go between them. */
export interface Frame {
  readonly plot: Box;
  readonly xScale: Scale;
  readonly yScale: Scale;
  /** Pixels from the left; NaN where a value has no place. */
  readonly toX: (value: number) => number;
  /** Pixels from the top. */
  readonly toY: (value: number) => number;
  readonly body: string;
}

const outerMargin = 16;
const lineHeight = 19;
const keySwatch = 22;
/** An SVG is shown in a viewer's own font, which may be so much wider than ours, as DejaVu Sans is: names in a key must not touch then. */
const widestFont = 1.25;
const xAxisHeight = 24;

/** Draws everything of a chart but its data. */
export function drawFrame(options: FrameOptions): Frame {
  const { width, height, x, y, extents, rightMargin, square = false } = options;
  const heading = drawHeading(options);
  const yLabelHeight = y.label ? lineHeight : 0;
  const top = heading.height + yLabelHeight + 10;
  const hasXAxis = !(Array.isArray(x.ticks) && x.ticks.length === 0);
  const bottom = height - (hasXAxis ? outerMargin - 4 + xAxisHeight : 6) - (x.label ? lineHeight : 0);
  const plotHeight = Math.max(20, bottom - top);
  const yScale = createScale({
    name: y.scale ?? 'linear',
    extent: extents.y,
    domain: y.domain,
    ticks: y.ticks ?? Math.max(2, Math.floor(plotHeight / 46)),
    nice: !square,
    format: y.format,
  });
  const yLabels = yScale.ticks.map(yScale.format);
  const left = outerMargin + Math.max(y.room ?? 0, ...yLabels.map((label) => textLength(label, textSizes.tick) + 8));
  const plotWidth = Math.max(20, width - outerMargin - Math.max(rightMargin, 6) - left);
  const xScale = createScale({
    name: x.scale ?? 'linear',
    extent: extents.x,
    domain: x.domain,
    ticks: x.ticks ?? Math.max(2, Math.floor(plotWidth / 68)),
    format: x.format,
  });
  const plot = { left, top, width: plotWidth, height: plotHeight };
  const toX = (value: number): number => left + limited(xScale.position(value)) * plotWidth;
  const toY = (value: number): number => top + (1 - limited(yScale.position(value))) * plotHeight;
  const body = [
    heading.body,
    drawYAxis(plot, yScale, toY, y.label ?? '', square),
    hasXAxis ? drawXAxis(plot, xScale, toX, x.label, width) : '',
  ];
  return { plot, xScale, yScale, toX, toY, body: body.filter((part) => part !== '').join('\n') };
}

/** Far outside the plot is as good as farther, and stays a short number. What is infinite has no place. */
function limited(position: number): number {
  if (!Number.isFinite(position)) return Number.NaN;
  return Math.min(20, Math.max(-20, position));
}

/** Title, subtitle and key, above all else. */
export function drawHeading({
  width,
  title,
  subtitle,
  key,
}: Pick<FrameOptions, 'width' | 'title' | 'subtitle' | 'key'>): Drawing {
  const parts: string[] = [];
  let height = outerMargin - 6;
  if (title !== '') {
    height += 22;
    parts.push(text(title, outerMargin, height - 3, { size: textSizes.title, tone: 'strong' }));
  }
  if (subtitle !== '') {
    height += lineHeight;
    parts.push(text(subtitle, outerMargin, height - 3, { size: textSizes.subtitle }));
  }
  if (key.length > 0) {
    const drawn = drawKey(key, outerMargin, height + 5, width - outerMargin);
    parts.push(drawn.body);
    height = drawn.bottom;
  }
  return { width, height, body: parts.join('\n') };
}

function drawKey(key: readonly KeyEntry[], left: number, top: number, right: number): { body: string; bottom: number } {
  let x = left;
  let y = top + lineHeight;
  const parts = key.map(({ label, colour, dash, dots = false }) => {
    const length = keySwatch + 6 + textLength(label, textSizes.label) * widestFont;
    if (x > left && x + length > right) {
      x = left;
      y += lineHeight;
    }
    const at = x;
    x += length + 14;
    const middle = y - 8;
    const swatch = dots
      ? element('circle', { cx: at + keySwatch / 2, cy: middle, r: 3.5, fill: colour })
      : element('path', {
          d: `M${at} ${middle}h${keySwatch}`,
          stroke: colour,
          'stroke-width': 2,
          'stroke-dasharray': dash,
        });
    return swatch + text(label, at + keySwatch + 6, y - 4, { size: textSizes.label, colour });
  });
  return { body: parts.join('\n'), bottom: y };
}

function drawYAxis(
  { left, top, width }: Box,
  scale: Scale,
  toY: (value: number) => number,
  label: string,
  isPlane: boolean,
): string {
  const right = left + width;
  const parts = scale.ticks.map((value) => {
    const y = toY(value);
    // What lies above and below 0 is told apart, but in a plane 0 is a place like any other.
    const isZero = value === 0 && scale.domain[0] < 0 && !isPlane;
    return (
      line(left, y, right, y, isZero ? 'axis' : 'grid') +
      text(scale.format(value), left - 8, y + 4, { size: textSizes.tick, anchor: 'end' })
    );
  });
  const minor = scale.minorTicks.map((value) => line(left - 3, toY(value), left, toY(value), 'axis'));
  if (label !== '') parts.push(text(label, outerMargin, top - 14, { size: textSizes.label }));
  return [...parts, ...minor].join('\n');
}

function drawXAxis(
  { left, top, width, height }: Box,
  scale: Scale,
  toX: (value: number) => number,
  label = '',
  pageWidth: number,
): string {
  const bottom = top + height;
  const parts = scale.ticks.map((value) => {
    const x = toX(value);
    const written = scale.format(value);
    // The outermost labels move inwards rather than over the edge of the page.
    const half = textLength(written, textSizes.tick) / 2;
    const at = Math.min(Math.max(x, half + 2), pageWidth - half - 2);
    return (
      line(x, bottom, x, bottom + 5, 'axis') +
      text(written, at, bottom + 18, { size: textSizes.tick, anchor: 'middle' })
    );
  });
  const minor = scale.minorTicks.map((value) => line(toX(value), bottom, toX(value), bottom + 3, 'axis'));
  parts.push(...minor, line(left, bottom, left + width, bottom, 'axis'));
  if (label !== '') {
    parts.push(text(label, left + width, bottom + 18 + lineHeight, { size: textSizes.label, anchor: 'end' }));
  }
  return parts.join('\n');
}
