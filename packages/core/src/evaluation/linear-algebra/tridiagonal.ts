import { DiffuseError } from '../../native/errors.ts';
import type { Pace } from '../pace.ts';

/** Sweeps for one eigenvalue; two are usual. */
const MOST_SWEEPS = 60;

/**
 * The eigenvalues of a symmetric tridiagonal matrix by the implicit QL algorithm with Wilkinson's shifts (Dubrulle, Martin and
 * Wilkinson 1968, doi:10.1007/BF02165404), in no order, each with an error of about rounding times the largest.
 *
 * @param diagonal float64 [n]; becomes the result.
 * @param beside float64 [n - 1], what stands beside the diagonal; destroyed.
 */
export async function tridiagonalEigenvalues(
  diagonal: Float64Array,
  beside: Float64Array,
  pace: Pace,
): Promise<Float64Array> {
  const n = diagonal.length;
  const d = diagonal;
  const e = new Float64Array(n);
  e.set(beside);
  const largest = [d, e].reduce((most, values) => values.reduce((max, x) => Math.max(max, Math.abs(x)), most), 0);
  const negligible = Number.EPSILON * largest;
  for (let l = 0; l < n; l++) {
    for (let sweeps = 0; ; sweeps++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m] as number) > negligible) m++;
      if (m === l) break;
      if (sweeps === MOST_SWEEPS) throw new DiffuseError('ERR_NON_FINITE', 'the eigenvalues do not converge');
      sweep(d, e, l, m);
    }
    await pace();
  }
  return d;
}

/** One sweep of rotations from row m up to row l. */
function sweep(d: Float64Array, e: Float64Array, l: number, m: number): void {
  const at = (values: Float64Array, i: number): number => values[i] as number;
  const slope = (at(d, l + 1) - at(d, l)) / (2 * at(e, l));
  const length = Math.hypot(slope, 1);
  let g = at(d, m) - at(d, l) + at(e, l) / (slope + (slope >= 0 ? length : -length));
  let [sine, cosine, shifted] = [1, 1, 0];
  for (let i = m - 1; i >= l; i--) {
    const f = sine * at(e, i);
    const b = cosine * at(e, i);
    const r = Math.sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r === 0) {
      // The rotation ran into a zero: the matrix has come apart here.
      d[i + 1] = at(d, i + 1) - shifted;
      e[m] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = at(d, i + 1) - shifted;
    const next = (at(d, i) - g) * sine + 2 * cosine * b;
    shifted = sine * next;
    d[i + 1] = g + shifted;
    g = cosine * next - b;
  }
  d[l] = at(d, l) - shifted;
  e[l] = g;
  e[m] = 0;
}
