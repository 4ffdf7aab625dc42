import { DiffuseError } from '../../native/errors.ts';
import type { Pace } from '../pace.ts';

/** A matrix of n rows whose product with its own transpose is the matrix that it was made of. */
export interface LowRankFactor {
  /** float64 [n, rank], row-major. */
  readonly data: Float64Array;
  readonly rank: number;
}

/** Negative pivots beyond this part of the largest diagonal element are no rounding errors. */
const INDEFINITE = 1e-6;

/**
 * `A = L L^T` of a positive semi-definite matrix by Cholesky's method with complete pivoting, which stops at the rank of A: what is
 * left then is below the rounding error of its largest element (Higham 2002, "Accuracy and Stability of Numerical Algorithms",
 * section 10.3). The rows of L keep the order of those of A.
 *
 * @param a float64 [n, n], symmetric.
 * @param name what the message calls it.
 * @throws DiffuseError `ERR_ARGUMENT` when A is not positive semi-definite.
 */
export async function pivotedCholesky(a: Float64Array, n: number, name: string, pace: Pace): Promise<LowRankFactor> {
  const rest = Float64Array.from({ length: n }, (_, i) => a[i * n + i] as number);
  const largest = rest.reduce((most, value) => Math.max(most, value), 0);
  const tolerance = n * Number.EPSILON * largest;
  const l = new Float64Array(n * n);
  const done = new Uint8Array(n);
  let rank = 0;
  for (; rank < n; rank++) {
    const pivot = indexOfLargest(rest, done);
    const value = rest[pivot] as number;
    if (value <= tolerance) break;
    done[pivot] = 1;
    const root = Math.sqrt(value);
    l[pivot * n + rank] = root;
    for (let i = 0; i < n; i++) {
      if (done[i]) continue;
      const element = ((a[pivot * n + i] as number) - dot(l, i * n, pivot * n, rank)) / root;
      l[i * n + rank] = element;
      rest[i] = (rest[i] as number) - element * element;
    }
    await pace();
  }
  const lowest = rest.reduce((least, value, i) => (done[i] ? least : Math.min(least, value)), 0);
  if (lowest < -INDEFINITE * largest || (largest === 0 && a.some((value) => value !== 0))) {
    throw new DiffuseError('ERR_ARGUMENT', `${name} is no covariance: it is not positive semi-definite`);
  }
  return { data: firstColumns(l, n, rank), rank };
}

function indexOfLargest(values: Float64Array, left: Uint8Array): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) {
    if (!left[i] && (best < 0 || (values[i] as number) > (values[best] as number))) best = i;
  }
  return best;
}

function dot(data: Float64Array, a: number, b: number, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < length; k += 4) {
    s0 += (data[a + k] as number) * (data[b + k] as number);
    s1 += (data[a + k + 1] as number) * (data[b + k + 1] as number);
    s2 += (data[a + k + 2] as number) * (data[b + k + 2] as number);
    s3 += (data[a + k + 3] as number) * (data[b + k + 3] as number);
  }
  for (; k < length; k++) s0 += (data[a + k] as number) * (data[b + k] as number);
  return s0 + s1 + (s2 + s3);
}

function firstColumns(l: Float64Array, n: number, rank: number): Float64Array {
  if (rank === n) return l;
  const columns = new Float64Array(n * rank);
  for (let i = 0; i < n; i++) columns.set(l.subarray(i * n, i * n + rank), i * rank);
  return columns;
}
