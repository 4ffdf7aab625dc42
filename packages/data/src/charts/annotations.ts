import { DiffuseError } from '@diffuse/core';
import type { Frame } from './frame.ts';
import { element, line } from './svg.ts';
import { text, textLength, textSizes } from './text.ts';

/**
 * A remark in a plot: with `x` alone an upright rule, with `y` alone a level one, with both a ring around a point; the text stands
 * beside it.
 */
export interface Annotation {
  readonly x?: number;
  readonly y?: number;
  readonly text: string;
}

/**
 * Draws remarks over a plot; those outside it are left out.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for an annotation with neither x nor y.
 */
export function drawAnnotations(annotations: readonly Annotation[], frame: Frame): string {
  return annotations.map((annotation) => drawAnnotation(annotation, frame)).join('\n');
}

function drawAnnotation({ x, y, text: remark }: Annotation, { plot, toX, toY }: Frame): string {
  if (x === undefined && y === undefined) {
    throw new DiffuseError('ERR_ARGUMENT', `the annotation '${remark}' needs x, y or both`);
  }
  const [left, top, right, bottom] = [plot.left, plot.top, plot.left + plot.width, plot.top + plot.height];
  const px = x === undefined ? right : toX(x);
  const py = y === undefined ? top : toY(y);
  if (!(px >= left - 1 && px <= right + 1 && py >= top - 1 && py <= bottom + 1)) return '';
  const size = textSizes.tick;
  const length = textLength(remark, size);
  const hasRoom = px + 9 + length <= right + 4;
  const [at, anchor] = hasRoom ? ([px + 7, 'start'] as const) : ([px - 7, 'end'] as const);
  if (y === undefined) return line(px, top, px, bottom, 'rule') + text(remark, at, top + 12, { size, anchor });
  if (x === undefined) {
    return line(left, py, right, py, 'rule') + text(remark, right, py - 6, { size, anchor: 'end' });
  }
  const ring = element('circle', { cx: px, cy: py, r: 3.5, class: 'axis', fill: 'none' });
  return ring + text(remark, at, Math.max(top + 10, py - 7), { size, anchor, tone: 'strong' });
}
