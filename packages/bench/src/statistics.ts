/** Times of one side of a case, in milliseconds. */
export interface Timing {
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Number of measurements. */
  readonly runs: number;
}

/** Middle of the sorted values; of an even number, the mean of the two in the middle. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Median and spread of measured times in milliseconds, at least one. */
export function timing(milliseconds: readonly number[]): Timing {
  return {
    medianMs: median(milliseconds),
    minMs: Math.min(...milliseconds),
    maxMs: Math.max(...milliseconds),
    runs: milliseconds.length,
  };
}
