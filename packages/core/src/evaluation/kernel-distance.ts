import { checkPair, checkWhole, chooseVectors, type FeatureVectors } from './feature-vectors.ts';
import { forEachRow, type PackedVectors, packVectors, products, rowsOf } from './linear-algebra/tiles.ts';
import { keepPace, type Pace, type PaceOptions } from './pace.ts';

/** Options of {@link kernelDistance}. */
export interface KernelDistanceOptions extends PaceOptions {
  /** Number of subsets; default 100. */
  readonly subsets?: number;
  /** Vectors of each set in a subset; default 1000, or as many as the smaller set has. */
  readonly subsetSize?: number;
  /** Decides the subsets; an integer from 0 to 2^53 - 1. */
  readonly seed?: number;
}

/** The kernel distance over subsets. */
export interface KernelDistance {
  /** Mean over the subsets: without bias, so that it may be below 0 for sets that are alike. */
  readonly mean: number;
  /** Standard deviation over the subsets (divided by their number). */
  readonly deviation: number;
  readonly subsets: number;
  readonly subsetSize: number;
}

/**
 * The kernel distance of two sets of feature vectors; KID with the features of an Inception network: the unbiased estimate of the
 * squared maximum mean discrepancy under the kernel `(x · y / d + 1)^3`, over random subsets (Bińkowski et al. 2018,
 * arXiv:1801.01401, section 4).
 *
 * When a subset would be the whole of both sets, there is one alone.
 *
 * @throws DiffuseError `ERR_ARGUMENT` for fewer than two vectors or a bad option; `ERR_SHAPE`, `ERR_DTYPE`, `ERR_NON_FINITE`,
 *   `ERR_CANCELLED`.
 */
export async function kernelDistance(
  real: FeatureVectors,
  generated: FeatureVectors,
  options: KernelDistanceOptions = {},
): Promise<KernelDistance> {
  const pace = keepPace(options.signal, 'computing the kernel distance');
  await checkPair(real, generated, { least: 2, purpose: 'the kernel distance', pace });
  const smaller = Math.min(real.shape[0], generated.shape[0]);
  const { seed = 0, subsetSize = Math.min(1000, smaller) } = options;
  checkWhole('subsetSize', subsetSize, 2, smaller);
  checkWhole('subsets', options.subsets ?? 1, 1, 1_000_000);
  const whole = subsetSize === real.shape[0] && subsetSize === generated.shape[0];
  const subsets = whole ? 1 : (options.subsets ?? 100);
  const values: number[] = [];
  for (let subset = 0; subset < subsets; subset++) {
    const x = await packed(chooseVectors(real, subsetSize, seed, 2 * subset), pace);
    const y = await packed(chooseVectors(generated, subsetSize, seed, 2 * subset + 1), pace);
    values.push(await squaredDiscrepancy(x, y, pace));
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / subsets;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / subsets;
  return { mean, deviation: Math.sqrt(variance), subsets, subsetSize };
}

function packed({ data, shape }: FeatureVectors, pace: Pace): Promise<PackedVectors> {
  return packVectors(rowsOf(data, shape), pace);
}

/** The unbiased estimate for two sets of one size m. */
async function squaredDiscrepancy(x: PackedVectors, y: PackedVectors, pace: Pace): Promise<number> {
  const m = x.count;
  const within = (await kernelSum(x, x, pace)) + (await kernelSum(y, y, pace));
  return within / (m * (m - 1)) - (2 * (await kernelSum(x, y, pace))) / (m * m);
}

/** The sum of the kernel over all pairs, without those of a vector with itself. */
async function kernelSum(a: PackedVectors, b: PackedVectors, pace: Pace): Promise<number> {
  let total = 0;
  await forEachRow(products, a, b, pace, (i, row) => {
    const self = a === b ? i : -1;
    let sum = 0;
    for (let j = 0; j < row.length; j++) {
      const base = (row[j] as number) / a.length + 1;
      if (j !== self) sum += base * base * base;
    }
    total += sum;
  });
  return total;
}
