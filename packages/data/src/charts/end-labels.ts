import type { Box, KeyEntry } from './frame.ts';
import { text, textLength, textSizes } from './text.ts';

/** The end of a line that has a name, in pixels. */
export interface LineEnd {
  readonly x: number;
  readonly y: number;
  readonly entry: KeyEntry;
}

const lineGap = 16;
const sideGap = 8;
/** A name farther from its line than this is not read as the line's. */
const farthest = 14;

/** A viewer's own font may be wider than ours. */
const reserve = 1.06;

/** Room to the right of a plot for names at the ends of lines, in pixels. */
export function endLabelWidth(entries: readonly KeyEntry[]): number {
  if (entries.length === 0) return 0;
  return sideGap + Math.max(...entries.map(({ label }) => textLength(label, textSizes.label))) * reserve;
}

/** Names beside the ends of lines; undefined where the ends are too close, or elsewhere than at the right edge. */
export function endLabels(ends: readonly LineEnd[], { left, top, width, height }: Box): string | undefined {
  const right = left + width;
  const fits = ends.every(({ x, y }) => Math.abs(x - right) < 2 && y > top - 4 && y < top + height + 4);
  if (!fits) return undefined;
  const sorted = [...ends].sort((a, b) => a.y - b.y);
  const places = spreadOut(sorted.map(({ y }) => y));
  if (sorted.some(({ y }, i) => Math.abs((places[i] as number) - y) > farthest)) return undefined;
  return sorted
    .map(({ entry: { label, colour } }, i) =>
      text(label, right + sideGap, (places[i] as number) + 4.5, { size: textSizes.label, colour }),
    )
    .join('\n');
}

/** Moves sorted places apart until all are a line from each other; groups keep their middle. */
function spreadOut(wanted: readonly number[]): number[] {
  const groups: { sum: number; count: number }[] = [];
  const startOf = ({ sum, count }: { sum: number; count: number }): number => sum / count - ((count - 1) * lineGap) / 2;
  for (const place of wanted) {
    let group = { sum: place, count: 1 };
    for (let last = groups.at(-1); last; last = groups.at(-1)) {
      if (startOf(last) + last.count * lineGap <= startOf(group)) break;
      groups.pop();
      group = { sum: last.sum + group.sum, count: last.count + group.count };
    }
    groups.push(group);
  }
  return groups.flatMap((group) => Array.from({ length: group.count }, (_, i) => startOf(group) + i * lineGap));
}
