/** Options of {@link curve}. */
export interface CurveOptions {
  readonly width: number;
  readonly height: number;
  /** Text at the top and the bottom of the vertical axis. */
  readonly labels: readonly [top: string, bottom: string];
}

/**
 * Draws a function as text: one mark a column, the values spread between their lowest and highest.
 *
 * @param values finite numbers, from left to right.
 */
export function curve(values: ArrayLike<number>, { width, height, labels }: CurveOptions): string {
  const sampled = Array.from({ length: width }, (_, column) => {
    const index = Math.round((column * (values.length - 1)) / Math.max(1, width - 1));
    return values[index] ?? 0;
  });
  const highest = Math.max(...sampled);
  const range = highest - Math.min(...sampled) || 1;
  const rows = Array.from({ length: height }, () => Array.from({ length: width }, () => ' '));
  sampled.forEach((value, column) => {
    const row = rows[Math.round(((highest - value) / range) * (height - 1))];
    if (row) row[column] = '*';
  });
  const margin = Math.max(...labels.map((label) => label.length));
  return rows
    .map((row, i) => {
      const label = i === 0 ? labels[0] : i === height - 1 ? labels[1] : '';
      return `${label.padStart(margin)} |${row.join('').trimEnd()}`;
    })
    .join('\n');
}
