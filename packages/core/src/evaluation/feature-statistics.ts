import { openSafetensors, type SafetensorsFile, writeSafetensors } from '../checkpoint/safetensors.ts';
import { DiffuseError } from '../native/errors.ts';
import { checkDimensions, checkFeatures, type FeatureVectors } from './feature-vectors.ts';
import { addGramUpper, mirrorUpper } from './linear-algebra/matrix-product.ts';
import { keepPace, type Pace, type PaceOptions } from './pace.ts';

/** All that the Fréchet distance asks of a set of feature vectors. */
export interface FeatureStatistics {
  /** Number of vectors, 1 or more. */
  readonly count: number;
  /** float64 [dimensions] */
  readonly mean: Float64Array;
  /** float64 [dimensions, dimensions]; divided by count - 1, zeros for a single vector. */
  readonly covariance: Float64Array;
}

/** Vectors whose products are summed at once; their copy stays in the cache's reach. */
const CHUNK = 512;

/**
 * Mean and covariance of feature vectors, in float64 and from centred values.
 *
 * @throws DiffuseError `ERR_SHAPE`, `ERR_DTYPE`, `ERR_ARGUMENT` without a vector, `ERR_NON_FINITE`, `ERR_CANCELLED`.
 */
export async function featureStatistics(
  features: FeatureVectors,
  { signal }: PaceOptions = {},
): Promise<FeatureStatistics> {
  const pace = keepPace(signal, 'computing the statistics of features');
  await checkFeatures('features', features, { least: 1, purpose: 'a mean', pace });
  return statisticsOfChecked(features, pace);
}

async function statisticsOfChecked(features: FeatureVectors, pace: Pace): Promise<FeatureStatistics> {
  const [count, dimensions] = features.shape;
  const mean = await meanOf(features, pace);
  const covariance = new Float64Array(dimensions * dimensions);
  for (let begin = 0; begin < count; begin += CHUNK) {
    const rows = Math.min(CHUNK, count - begin);
    await addGramUpper(covariance, centred(features, mean, begin, rows), [dimensions, rows], pace);
  }
  await mirrorUpper(covariance, dimensions, 1 / Math.max(1, count - 1), pace);
  return { count, mean, covariance };
}

async function meanOf({ data, shape: [count, dimensions] }: FeatureVectors, pace: Pace): Promise<Float64Array> {
  const mean = new Float64Array(dimensions);
  for (let row = 0; row < count; row++) {
    if (row % CHUNK === 0) await pace();
    for (let j = 0; j < dimensions; j++) mean[j] = (mean[j] as number) + (data[row * dimensions + j] as number);
  }
  return mean.map((sum) => sum / count);
}

function centred({ data, shape }: FeatureVectors, mean: Float64Array, begin: number, rows: number): Float64Array {
  const dimensions = shape[1];
  const result = Float64Array.from(data.subarray(begin * dimensions, (begin + rows) * dimensions));
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < dimensions; j++) {
      result[row * dimensions + j] = (result[row * dimensions + j] as number) - (mean[j] as number);
    }
  }
  return result;
}

/**
 * Statistics of two sets together, as if computed from all their vectors (Chan, Golub and LeVeque 1979, "Updating formulae and a
 * pairwise algorithm for computing sample variances"): for sets that come in batches.
 *
 * @throws DiffuseError `ERR_SHAPE` when the dimensions differ.
 */
export function mergeStatistics(a: FeatureStatistics, b: FeatureStatistics): FeatureStatistics {
  checkDimensions(a.mean.length, b.mean.length);
  const dimensions = a.mean.length;
  const count = a.count + b.count;
  const difference = b.mean.map((value, i) => value - (a.mean[i] as number));
  const mean = a.mean.map((value, i) => value + ((difference[i] as number) * b.count) / count);
  const between = (a.count * b.count) / count / (count - 1);
  const [shareA, shareB] = [(a.count - 1) / (count - 1), (b.count - 1) / (count - 1)];
  const covariance = new Float64Array(dimensions * dimensions);
  for (let i = 0; i < dimensions; i++) {
    const scale = between * (difference[i] as number);
    for (let j = 0; j < dimensions; j++) {
      const at = i * dimensions + j;
      const within = shareA * (a.covariance[at] as number) + shareB * (b.covariance[at] as number);
      covariance[at] = within + scale * (difference[j] as number);
    }
  }
  return { count, mean, covariance };
}

const format = 'diffuse-feature-statistics';

/**
 * Writes statistics to a safetensors file: `mean` F64 [d], `covariance` F64 [d, d], `count` I64 [1].
 *
 * @throws DiffuseError `ERR_CHECKPOINT` when the file cannot be written.
 */
export async function saveStatistics(path: string, { count, mean, covariance }: FeatureStatistics): Promise<void> {
  const d = mean.length;
  const tensors = [
    { name: 'count', dtype: 'I64', shape: [1], data: () => BigInt64Array.of(BigInt(count)) },
    { name: 'mean', dtype: 'F64', shape: [d], data: () => mean },
    { name: 'covariance', dtype: 'F64', shape: [d, d], data: () => covariance },
  ] as const;
  await writeSafetensors(path, tensors, { format });
}

/**
 * Reads what {@link saveStatistics} wrote, or any safetensors file with its three tensors.
 *
 * @throws DiffuseError `ERR_CHECKPOINT` naming the file and what is wrong with it.
 */
export async function loadStatistics(path: string): Promise<FeatureStatistics> {
  const file = await openSafetensors(path);
  try {
    const count = await readTensor(file, 'count', 'I64', BigInt64Array);
    const mean = await readTensor(file, 'mean', 'F64', Float64Array);
    const covariance = await readTensor(file, 'covariance', 'F64', Float64Array);
    const statistics = { count: Number(count[0]), mean, covariance };
    const pace = keepPace(undefined, 'reading statistics');
    const problem = count.length === 1 ? await problemOf(statistics, pace) : 'count must be one number';
    if (problem) throw new DiffuseError('ERR_CHECKPOINT', `${path}: ${problem}`);
    return statistics;
  } finally {
    await file.close();
  }
}

async function readTensor<A>(
  file: SafetensorsFile,
  name: string,
  dtype: string,
  type: new (...values: never[]) => A,
): Promise<A> {
  const values = await file.read(name);
  if (values instanceof type) return values;
  const found = file.tensors.get(name)?.dtype;
  throw new DiffuseError('ERR_CHECKPOINT', `${file.path}: tensor '${name}' is ${found}; expected ${dtype}`);
}

/** Covariances of other programs may have been rounded to float32. */
const ASYMMETRY = 1e-5;

/** What shows that statistics cannot be those of any vectors, or undefined. */
async function problemOf({ count, mean, covariance }: FeatureStatistics, pace: Pace): Promise<string | undefined> {
  const d = mean.length;
  if (!Number.isSafeInteger(count) || count < 1) return `count must be a whole number, at least 1; got ${count}`;
  if (d < 1 || covariance.length !== d * d) {
    return `covariance must have ${d} x ${d} elements, to fit the mean of ${d}; it has ${covariance.length}`;
  }
  let largest = 0;
  for (let i = 0; i < d; i++) largest = Math.max(largest, covariance[i * d + i] as number);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      const [below, above] = [covariance[i * d + j] as number, covariance[j * d + i] as number];
      if (!Number.isFinite(below) || !Number.isFinite(above)) return `covariance must be finite; [${i}, ${j}] is not`;
      if (Math.abs(below - above) > ASYMMETRY * largest) {
        return `covariance must be symmetric; [${i}, ${j}] is ${below}, [${j}, ${i}] is ${above}`;
      }
    }
    if (!Number.isFinite(mean[i])) return `mean must be finite; [${i}] is ${mean[i]}`;
    await pace();
  }
  return undefined;
}

/** Statistics of either form, checked. */
export async function statisticsOf(
  name: string,
  source: FeatureVectors | FeatureStatistics,
  pace: Pace,
): Promise<FeatureStatistics> {
  if ('covariance' in source) {
    const problem = await problemOf(source, pace);
    if (problem) throw new DiffuseError('ERR_ARGUMENT', `the statistics of ${name}: ${problem}`);
    return source;
  }
  await checkFeatures(name, source, { least: 2, purpose: 'a covariance', pace });
  return statisticsOfChecked(source, pace);
}
