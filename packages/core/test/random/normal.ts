import { type PhiloxKey, philox, splitSeed } from '../../src/random/philox.ts';

/** `count` independent uniform numbers in (0, 1), float64, the same for the same seed and stream. */
export function uniforms(seed: number, count: number, stream = 0): Float64Array {
  const key: PhiloxKey = splitSeed(seed);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i += 4) {
    const block = philox(key, [i / 4, 0, stream, 0]);
    values.set(
      block.slice(0, count - i).map((word) => (word + 0.5) / 2 ** 32),
      i,
    );
  }
  return values;
}

/** `count` independent standard normal numbers (Box and Muller), float64, the same for the same seed and stream. */
export function normals(seed: number, count: number, stream = 0): Float64Array {
  const uniform = uniforms(seed, 2 * Math.ceil(count / 2), stream);
  return Float64Array.from({ length: count }, (_, i) => {
    const pair = i - (i % 2);
    const radius = Math.sqrt(-2 * Math.log(uniform[pair] as number));
    const angle = 2 * Math.PI * (uniform[pair + 1] as number);
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}

/** Mean and variance of a sample. */
export function moments(values: Float64Array): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, variance };
}

/** Whether a sample has the moments of N(mean, variance), within five standard errors. */
export function hasMoments(values: Float64Array, mean: number, variance: number): boolean {
  const found = moments(values);
  return (
    Math.abs(found.mean - mean) < 5 * Math.sqrt(variance / values.length) &&
    Math.abs(found.variance - variance) < 5 * variance * Math.sqrt(2 / (values.length - 1))
  );
}

/** Largest distance between the distribution of a sample and a cumulative distribution function (Kolmogorov). */
export function kolmogorovDistance(values: Float64Array, cdf: (x: number) => number): number {
  const sorted = values.slice().sort();
  return sorted.reduce((worst, x, i) => {
    const expected = cdf(x);
    return Math.max(worst, (i + 1) / sorted.length - expected, expected - i / sorted.length);
  }, 0);
}
