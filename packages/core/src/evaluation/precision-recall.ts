import { checkPair, checkWhole, type FeatureVectors } from './feature-vectors.ts';
import { forEachRow, type PackedVectors, packVectors, rowsOf, squaredDistances } from './linear-algebra/tiles.ts';
import { keepPace, type Pace, type PaceOptions } from './pace.ts';

/** Options of {@link precisionRecall}. */
export interface PrecisionRecallOptions extends PaceOptions {
  /** Which nearest neighbour bounds the ball around a vector; default 3. */
  readonly neighbours?: number;
}

/** How far two sets of vectors lie within each other. */
export interface PrecisionRecall {
  /** Share of the generated vectors that lie among the real ones: quality. */
  readonly precision: number;
  /** Share of the real vectors that lie among the generated ones: variety. */
  readonly recall: number;
  /** Balls around real vectors that a generated vector lies in, on average, over `neighbours`; may be above 1. */
  readonly density: number;
  /** Share of the real vectors whose ball holds a generated one. */
  readonly coverage: number;
}

/**
 * Precision and recall over k-nearest-neighbour manifolds: a set's manifold is the union of balls around its vectors, each out to the
 * vector's k-th neighbour in the set (Kynkäänniemi et al. 2019, arXiv:1904.06991, eqs. (1) to (3)). Density and coverage, less
 * easily pleased by outliers, come from the same distances (Naeem et al. 2020, arXiv:2002.09797).
 *
 * Takes the number of vectors squared times their dimensions.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for no more vectors than neighbours; `ERR_SHAPE`, `ERR_DTYPE`, `ERR_NON_FINITE`,
 *   `ERR_CANCELLED`.
 */
export async function precisionRecall(
  real: FeatureVectors,
  generated: FeatureVectors,
  { neighbours = 3, signal }: PrecisionRecallOptions = {},
): Promise<PrecisionRecall> {
  checkWhole('neighbours', neighbours, 1, 1_000_000);
  const pace = keepPace(signal, 'computing precision and recall');
  const purpose = `precision with ${neighbours} neighbours`;
  await checkPair(real, generated, { least: neighbours + 1, purpose, pace });
  const a = await packVectors(rowsOf(real.data, real.shape), pace);
  const b = await packVectors(rowsOf(generated.data, generated.shape), pace);
  const radiiA = await squaredRadii(a, neighbours, pace);
  const radiiB = await squaredRadii(b, neighbours, pace);

  const ballsAround = new Uint32Array(b.count);
  let [recalled, covered] = [0, 0];
  await forEachRow(squaredDistances, a, b, pace, (i, distances) => {
    const radius = radiiA[i] as number;
    let [isRecalled, isCovered] = [false, false];
    for (let j = 0; j < b.count; j++) {
      const distance = distances[j] as number;
      if (distance <= (radiiB[j] as number)) isRecalled = true;
      if (distance <= radius) {
        isCovered = true;
        ballsAround[j] = (ballsAround[j] as number) + 1;
      }
    }
    recalled += Number(isRecalled);
    covered += Number(isCovered);
  });
  const balls = ballsAround.reduce((sum, value) => sum + value, 0);
  return {
    precision: ballsAround.reduce((sum, value) => sum + Number(value > 0), 0) / b.count,
    recall: recalled / a.count,
    density: balls / (neighbours * b.count),
    coverage: covered / a.count,
  };
}

/** The squared distance of each vector to its k-th nearest neighbour among the others. */
async function squaredRadii(vectors: PackedVectors, k: number, pace: Pace): Promise<Float64Array> {
  const radii = new Float64Array(vectors.count);
  const nearest = new Float64Array(k);
  await forEachRow(squaredDistances, vectors, vectors, pace, (i, distances) => {
    nearest.fill(Number.POSITIVE_INFINITY);
    for (let j = 0; j < vectors.count; j++) {
      const distance = distances[j] as number;
      if (j === i || distance >= (nearest[k - 1] as number)) continue;
      let place = k - 1;
      for (; place > 0 && (nearest[place - 1] as number) > distance; place--)
        nearest[place] = nearest[place - 1] as number;
      nearest[place] = distance;
    }
    radii[i] = nearest[k - 1] as number;
  });
  return radii;
}
