/** A mean over samples and how uncertain it is. */
export interface Estimate {
  readonly mean: number;
  /** Standard deviation of the mean, from the spread of the samples; NaN for a single sample. */
  readonly standardError: number;
}

/** Collects numbers one by one; Welford's update, so that small spreads of large numbers stay exact. */
export interface RunningMean {
  add(value: number): void;
  estimate(): Estimate;
}

/** Makes an empty {@link RunningMean}. */
export function runningMean(): RunningMean {
  let count = 0;
  let mean = 0;
  let squares = 0;
  return {
    add(value) {
      const before = value - mean;
      mean += before / ++count;
      squares += before * (value - mean);
    },
    estimate: () => ({
      mean: count > 0 ? mean : Number.NaN,
      standardError: count > 1 ? Math.sqrt(squares / (count - 1) / count) : Number.NaN,
    }),
  };
}

/** Mean of `values` and its standard error, both times `factor`. */
export function estimateOf(values: Iterable<number>, factor = 1): Estimate {
  const running = runningMean();
  for (const value of values) running.add(value * factor);
  return running.estimate();
}
