import { DiffuseError } from '../native/errors.ts';
import { checkFeatures, checkWhole, type FeatureVectors } from './feature-vectors.ts';
import { keepPace, type PaceOptions } from './pace.ts';

/** Options of {@link inceptionScore}. */
export interface InceptionScoreOptions extends PaceOptions {
  /** Parts of the images that are judged by themselves; default 10. */
  readonly splits?: number;
}

/** The Inception score over splits. */
export interface InceptionScore {
  /** From 1 (every image is judged alike) to the number of classes. */
  readonly mean: number;
  /** Standard deviation over the splits (divided by their number). */
  readonly deviation: number;
  readonly splits: number;
}

/** How far the probabilities of an image may be from summing to 1: float32 of a softmax over a thousand classes. */
const SUM_TOLERANCE = 1e-3;

/**
 * The Inception score, `exp(mean of KL(p(y | x) || p(y)))`: high when single images are judged surely and all together evenly
 * (Salimans et al. 2016, arXiv:1606.03498). It is computed for consecutive parts of the images and averaged, as usual.
 *
 * @param probabilities of each class for each image, [count, classes], rows that sum to 1.
 * @throws DiffuseError `ERR_ARGUMENT` for fewer images than splits or rows that are no probabilities; `ERR_SHAPE`, `ERR_DTYPE`,
 *   `ERR_NON_FINITE`, `ERR_CANCELLED`.
 */
export async function inceptionScore(
  probabilities: FeatureVectors,
  { splits = 10, signal }: InceptionScoreOptions = {},
): Promise<InceptionScore> {
  checkWhole('splits', splits, 1, 1_000_000);
  const pace = keepPace(signal, 'computing the Inception score');
  const purpose = `an Inception score of ${splits} splits`;
  await checkFeatures('probabilities', probabilities, { least: splits, purpose, pace });
  checkProbabilities(probabilities);
  const [count] = probabilities.shape;
  const scores = Array.from({ length: splits }, (_, i) =>
    scoreOf(probabilities, Math.floor((i * count) / splits), Math.floor(((i + 1) * count) / splits)),
  );
  const mean = scores.reduce((sum, value) => sum + value, 0) / splits;
  const variance = scores.reduce((sum, value) => sum + (value - mean) ** 2, 0) / splits;
  return { mean, deviation: Math.sqrt(variance), splits };
}

function checkProbabilities({ data, shape: [count, classes] }: FeatureVectors): void {
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let j = 0; j < classes; j++) {
      const value = data[row * classes + j] as number;
      if (value < 0)
        throw new DiffuseError('ERR_ARGUMENT', `probabilities must not be negative; [${row}, ${j}] is ${value}`);
      sum += value;
    }
    if (Math.abs(sum - 1) > SUM_TOLERANCE) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `the probabilities of each image must sum to 1; those of ${row} sum to ${sum}`,
      );
    }
  }
}

function scoreOf({ data, shape: [, classes] }: FeatureVectors, begin: number, end: number): number {
  const marginal = new Float64Array(classes);
  for (let row = begin; row < end; row++) {
    for (let j = 0; j < classes; j++) {
      marginal[j] = (marginal[j] as number) + (data[row * classes + j] as number) / (end - begin);
    }
  }
  let divergence = 0;
  for (let row = begin; row < end; row++) {
    for (let j = 0; j < classes; j++) {
      const p = data[row * classes + j] as number;
      if (p > 0) divergence += p * Math.log(p / (marginal[j] as number));
    }
  }
  return Math.exp(divergence / (end - begin));
}
