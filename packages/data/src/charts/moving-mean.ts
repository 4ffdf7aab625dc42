/**
 * The mean of `window` values around each, without those that are none: it follows a curve without lagging behind. Towards the ends it
 * is of fewer, evenly around; of less than half of the window it would be as restless as the values, and is NaN.
 */
export function movingMean(values: readonly number[], window: number): number[] {
  const [sums, counts] = [[0], [0]];
  for (const value of values) {
    const counted = Number.isFinite(value);
    sums.push((sums.at(-1) as number) + (counted ? value : 0));
    counts.push((counts.at(-1) as number) + (counted ? 1 : 0));
  }
  const between = (running: readonly number[], from: number, to: number): number =>
    (running[to] as number) - (running[from] as number);
  const width = Math.min(window, values.length);
  return values.map((_, i) => {
    const half = Math.min(width / 2, i + 0.5, values.length - i - 0.5);
    const [from, to] = [Math.ceil(i + 0.5 - half), Math.floor(i + 0.5 + half)];
    if (to - from < width / 2) return Number.NaN;
    return between(sums, from, to) / between(counts, from, to);
  });
}
