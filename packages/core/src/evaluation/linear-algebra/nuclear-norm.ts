import type { Pace } from '../pace.ts';
import { tridiagonalEigenvalues } from './tridiagonal.ts';

/**
 * The sum of the singular values of a matrix.
 *
 * Householder reflections from both sides make it bidiagonal (Golub and Kahan 1965, doi:10.1137/0702016). The singular values s of a
 * bidiagonal matrix with diagonal d and superdiagonal e are, as pairs s and -s, the eigenvalues of the symmetric tridiagonal matrix
 * with zeros on the diagonal and d1, e1, d2, e2 … beside it, so that no square of a small value is ever taken.
 *
 * @param a float64 [m, n], row-major. Not changed.
 * @returns the sum, with an error of about rounding times the largest singular value.
 */
export async function nuclearNorm(
  a: Float64Array,
  [m, n]: readonly [m: number, n: number],
  pace: Pace,
): Promise<number> {
  if (m === 0 || n === 0) return 0;
  const work = m >= n ? a.slice() : await transposed(a, m, n, pace);
  const beside = await bidiagonalize(work, Math.max(m, n), Math.min(m, n), pace);
  const eigenvalues = await tridiagonalEigenvalues(new Float64Array(beside.length + 1), beside, pace);
  return eigenvalues.reduce((sum, value) => sum + Math.abs(value), 0) / 2;
}

async function transposed(a: Float64Array, m: number, n: number, pace: Pace): Promise<Float64Array> {
  const result = new Float64Array(n * m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) result[j * m + i] = a[i * n + j] as number;
    await pace();
  }
  return result;
}

/**
 * Makes a matrix bidiagonal by reflections.
 *
 * @param a float64 [m, n], m >= n; destroyed.
 * @returns d1, e1, d2, e2, … dn: the diagonal and superdiagonal in turn.
 */
async function bidiagonalize(a: Float64Array, m: number, n: number, pace: Pace): Promise<Float64Array> {
  const interleaved = new Float64Array(2 * n - 1);
  const v = new Float64Array(m);
  const u = new Float64Array(n);
  const w = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    // From the left: I - v v^T · factor clears column k below the diagonal.
    for (let i = k; i < m; i++) v[i] = a[i * n + k] as number;
    const left = reflection(v, k);
    interleaved[2 * k] = left.value;
    if (k === n - 1) break;
    accumulateRows(a, n, k, m, v, w);
    for (let j = k + 1; j < n; j++) w[j] = (w[j] as number) * left.factor;
    subtractMultiple(a, k * n, w, v[k] as number, k + 1, n);
    // From the right: I - u u^T · factor clears row k beyond the superdiagonal. Each row below takes both updates while it is in the
    // cache.
    for (let j = k + 1; j < n; j++) u[j] = a[k * n + j] as number;
    const right = reflection(u, k + 1);
    interleaved[2 * k + 1] = right.value;
    for (let i = k + 1; i < m; i++) {
      const product = subtractAndDot(a, i * n, w, v[i] as number, u, k + 1, n);
      subtractMultiple(a, i * n, u, product * right.factor, k + 1, n);
    }
    await pace();
  }
  return interleaved;
}

/**
 * The reflection that maps x[from …] onto its first axis: `I - v v^T · factor` with v left in x.
 *
 * @returns the length with its sign, and the factor; 0 when there is nothing to clear.
 */
function reflection(x: Float64Array, from: number): { readonly value: number; readonly factor: number } {
  const head = x[from] as number;
  let tail = 0;
  for (let i = from + 1; i < x.length; i++) tail += (x[i] as number) * (x[i] as number);
  if (tail === 0) return { value: head, factor: 0 };
  const length = Math.sqrt(head * head + tail);
  // The sign that adds up, so that no digits are lost.
  x[from] = head + (head >= 0 ? length : -length);
  return { value: head >= 0 ? -length : length, factor: 1 / (length * (length + Math.abs(head))) };
}

/** `w[j] = sum of v[i] · a[i, j]` over the rows from k on, for the columns after k; four rows at a time. */
function accumulateRows(a: Float64Array, n: number, k: number, m: number, v: Float64Array, w: Float64Array): void {
  w.fill(0, k + 1);
  let i = k;
  for (; i + 3 < m; i += 4) {
    const [v0, v1, v2, v3] = [v[i] as number, v[i + 1] as number, v[i + 2] as number, v[i + 3] as number];
    const [r0, r1, r2, r3] = [i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n];
    for (let j = k + 1; j < n; j++) {
      w[j] =
        (w[j] as number) +
        v0 * (a[r0 + j] as number) +
        v1 * (a[r1 + j] as number) +
        v2 * (a[r2 + j] as number) +
        v3 * (a[r3 + j] as number);
    }
  }
  for (; i < m; i++) subtractMultipleOf(w, a, i * n, -(v[i] as number), k + 1, n);
}

/** `row -= factor · w` for the columns from `begin` to `end`. */
function subtractMultiple(
  a: Float64Array,
  row: number,
  w: Float64Array,
  factor: number,
  begin: number,
  end: number,
): void {
  for (let j = begin; j < end; j++) a[row + j] = (a[row + j] as number) - factor * (w[j] as number);
}

/** `w -= factor · row` for the columns from `begin` to `end`. */
function subtractMultipleOf(
  w: Float64Array,
  a: Float64Array,
  row: number,
  factor: number,
  begin: number,
  end: number,
): void {
  for (let j = begin; j < end; j++) w[j] = (w[j] as number) - factor * (a[row + j] as number);
}

/** `row -= factor · w`, and its scalar product with u then. */
function subtractAndDot(
  a: Float64Array,
  row: number,
  w: Float64Array,
  factor: number,
  u: Float64Array,
  begin: number,
  end: number,
): number {
  let [even, odd] = [0, 0];
  let j = begin;
  for (; j + 1 < end; j += 2) {
    const first = (a[row + j] as number) - factor * (w[j] as number);
    const second = (a[row + j + 1] as number) - factor * (w[j + 1] as number);
    a[row + j] = first;
    a[row + j + 1] = second;
    even += first * (u[j] as number);
    odd += second * (u[j + 1] as number);
  }
  if (j < end) {
    const last = (a[row + j] as number) - factor * (w[j] as number);
    a[row + j] = last;
    even += last * (u[j] as number);
  }
  return even + odd;
}
