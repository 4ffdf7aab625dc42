import { checkPair, type FeatureVectors } from './feature-vectors.ts';
import { forEachRow, type PackedVectors, packVectors, rowsOf, squaredDistances } from './linear-algebra/tiles.ts';
import { keepPace, type Pace, type PaceOptions } from './pace.ts';

/**
 * The energy distance of two sets of points (Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018, eq. (5)):
 *
 *     2 mean |x - y| - mean |x - x'| - mean |y - y'|
 *
 * the means over all pairs, those of a point with itself too, so that it is 0 for equal sets and never below. It needs no feature
 * network and no choice of a kernel: for points, and for data of few dimensions. (`scipy.stats.energy_distance` is its root.)
 *
 * @returns 0 or more, in units of the points.
 * @throws DiffuseError `ERR_ARGUMENT` for an empty set; `ERR_SHAPE`, `ERR_DTYPE`, `ERR_NON_FINITE`, `ERR_CANCELLED`.
 */
export async function energyDistance(
  real: FeatureVectors,
  generated: FeatureVectors,
  { signal }: PaceOptions = {},
): Promise<number> {
  const pace = keepPace(signal, 'computing the energy distance');
  await checkPair(real, generated, { least: 1, purpose: 'the energy distance', pace });
  const x = await packVectors(rowsOf(real.data, real.shape), pace);
  const y = await packVectors(rowsOf(generated.data, generated.shape), pace);
  const between = await meanDistance(x, y, pace);
  const within = (await meanDistance(x, x, pace)) + (await meanDistance(y, y, pace));
  return Math.max(0, 2 * between - within);
}

async function meanDistance(a: PackedVectors, b: PackedVectors, pace: Pace): Promise<number> {
  let total = 0;
  await forEachRow(squaredDistances, a, b, pace, (_, distances) => {
    let sum = 0;
    for (const distance of distances) sum += Math.sqrt(distance);
    total += sum;
  });
  return total / (a.count * b.count);
}
