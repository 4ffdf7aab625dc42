import { DiffuseError } from '../native/errors.ts';
import { type FeatureStatistics, statisticsOf } from './feature-statistics.ts';
import { checkDimensions, type FeatureVectors } from './feature-vectors.ts';
import { pivotedCholesky } from './linear-algebra/cholesky.ts';
import { addTransposedProduct } from './linear-algebra/matrix-product.ts';
import { nuclearNorm } from './linear-algebra/nuclear-norm.ts';
import { keepPace, type PaceOptions } from './pace.ts';

/**
 * The Fréchet distance of two sets of feature vectors, each taken for a Gaussian; FID with the features of an Inception network
 * (Heusel et al. 2017, arXiv:1706.08500, eq. (6)):
 *
 *     |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))
 *
 * With S1 = L1 L1^T and S2 = L2 L2^T the eigenvalues of S1 S2 are the squares of the singular values of L1^T L2, so that the trace
 * of the square root is the sum of these singular values. No root of a rounding error is ever taken: singular covariances (fewer
 * vectors than dimensions) need no correction, and a set has the distance 0 to itself to the last digits.
 *
 * @param real vectors, or statistics that were computed before; the distance is symmetric.
 * @returns 0 or more, in squared units of the features.
 * @throws DiffuseError `ERR_ARGUMENT` for fewer than two vectors or an impossible covariance; `ERR_SHAPE` when the dimensions
 *   differ; `ERR_NON_FINITE`, `ERR_DTYPE`, `ERR_CANCELLED`.
 */
export async function frechetDistance(
  real: FeatureVectors | FeatureStatistics,
  generated: FeatureVectors | FeatureStatistics,
  { signal }: PaceOptions = {},
): Promise<number> {
  const pace = keepPace(signal, 'computing the Fréchet distance');
  const a = await statisticsOf('real', real, pace);
  const b = await statisticsOf('generated', generated, pace);
  checkDimensions(a.mean.length, b.mean.length);
  for (const [name, { count }] of Object.entries({ real: a, generated: b })) {
    if (count < 2)
      throw new DiffuseError('ERR_ARGUMENT', `a covariance needs at least 2 vectors; ${name} has ${count}`);
  }
  const d = a.mean.length;
  const left = await pivotedCholesky(a.covariance, d, 'the covariance of real', pace);
  const right = await pivotedCholesky(b.covariance, d, 'the covariance of generated', pace);
  const product = new Float64Array(left.rank * right.rank);
  await addTransposedProduct(product, left.data, right.data, [left.rank, right.rank, d], pace);
  const root = await nuclearNorm(product, [left.rank, right.rank], pace);
  const between = a.mean.reduce((sum, value, i) => sum + (value - (b.mean[i] as number)) ** 2, 0);
  return Math.max(0, between + (trace(a.covariance, d) + trace(b.covariance, d) - 2 * root));
}

function trace(matrix: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += matrix[i * n + i] as number;
  return sum;
}

/**
 * What must be said of a Fréchet distance of so few vectors, or undefined. With no more vectors than dimensions the covariance has
 * no full rank; with a few times as many the distance is still biased upwards.
 */
export function frechetWarning(counts: readonly number[], dimensions: number): string | undefined {
  const fewest = Math.min(...counts);
  if (fewest > dimensions) return undefined;
  return `FID of ${fewest} vectors of ${dimensions} dimensions is far too high: its covariance is singular; take many more than ${dimensions}`;
}
