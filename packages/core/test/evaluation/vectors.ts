import { readFileSync } from 'node:fs';
import type { FeatureVectors } from '../../src/evaluation/index.ts';

/** The vectors of golden/evaluation_distances.py. */
export function sineVectors(seed: number, count: number, dimensions: number): FeatureVectors {
  const data = Float64Array.from(
    { length: count * dimensions },
    (_, i) => Math.sin(1 + 0.7 * seed + 1.3 * i + 0.21 * i * i) + 0.1 * seed,
  );
  return { data, shape: [count, dimensions] };
}

/** Expected values of one pair of sets. */
export interface GoldenCase {
  readonly dimensions: number;
  readonly real: number;
  readonly generated: number;
  readonly mean: readonly number[];
  readonly covariance: readonly (readonly number[])[];
  readonly singularValues: number;
  readonly kernel: number;
  readonly manifolds: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly energy: number;
  readonly frechetByProducts: number;
  readonly frechetByRoot?: number;
}

const golden = JSON.parse(
  readFileSync(new URL('../../../../golden/evaluation/distances.json', import.meta.url), 'utf8'),
);

/** Name, sets and expected values. */
export const goldenCases: readonly (readonly [string, GoldenCase, FeatureVectors, FeatureVectors])[] = (
  ['wide', 'square', 'few'] as const
).map((name) => {
  const { dimensions, real, generated } = golden[name] as GoldenCase;
  return [name, golden[name], sineVectors(1, real, dimensions), sineVectors(2, generated, dimensions)];
});

/** Two sets on the line, and the root of their energy distance. */
export const goldenLine: { readonly real: number; readonly generated: number; readonly energyRoot: number } =
  golden.line;

/** Inception scores by the number of splits. */
export const goldenScores: Readonly<Record<string, { readonly mean: number; readonly deviation: number }>> =
  golden.probabilities;

/** A generator of numbers that look random, the same on every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** About normal vectors with their own spread in each dimension. */
export function normalVectors(seed: number, count: number, dimensions: number, spread = 1, shift = 0): FeatureVectors {
  const random = randomNumbers(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const data = Float64Array.from(
    { length: count * dimensions },
    (_, i) => shift + spread * (1 + (i % dimensions)) * normal(),
  );
  return { data, shape: [count, dimensions] };
}

/** The rows in another order. */
export function shuffled({ data, shape }: FeatureVectors, seed: number): FeatureVectors {
  const random = randomNumbers(seed);
  const [count, dimensions] = shape;
  const order = Array.from({ length: count }, (_, i) => [random(), i] as const).sort(([a], [b]) => a - b);
  return { data: Float64Array.from(order.flatMap(([, i]) => [...rowAt(data, i, dimensions)])), shape };
}

/** The vectors after a rotation, made of one in each plane of neighbouring axes. */
export function rotated({ data, shape }: FeatureVectors, angle: number): FeatureVectors {
  const [count, dimensions] = shape;
  const result = Float64Array.from(data);
  for (let axis = 0; axis + 1 < dimensions; axis++) {
    const [cosine, sine] = [Math.cos(angle + axis), Math.sin(angle + axis)];
    for (let row = 0; row < count; row++) {
      const at = row * dimensions + axis;
      const [a, b] = [result[at] as number, result[at + 1] as number];
      result[at] = cosine * a - sine * b;
      result[at + 1] = sine * a + cosine * b;
    }
  }
  return { data: result, shape };
}

/** Rows `begin` to `end`. */
export function rowsBetween(
  { data, shape: [, dimensions] }: FeatureVectors,
  begin: number,
  end: number,
): FeatureVectors {
  return { data: data.subarray(begin * dimensions, end * dimensions), shape: [end - begin, dimensions] };
}

function rowAt(data: Float32Array | Float64Array, row: number, dimensions: number): Float32Array | Float64Array {
  return data.subarray(row * dimensions, (row + 1) * dimensions);
}
