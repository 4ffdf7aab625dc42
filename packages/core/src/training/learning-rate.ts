import { DiffuseError } from '../native/errors.ts';

/** Shapes of a learning-rate schedule. */
export type LearningRateShape = 'constant' | 'cosine';

/** Names of the learning-rate schedules. */
export const learningRateShapes: readonly LearningRateShape[] = ['constant', 'cosine'];

/** Options of {@link learningRateAt}. */
export interface LearningRateOptions {
  /** Learning rate at the peak. */
  readonly peak: number;
  readonly shape: LearningRateShape;
  /** Steps of linear warm-up from 0. */
  readonly warmup: number;
  /** Steps in all; what the cosine reaches 0 at. */
  readonly steps: number;
}

/**
 * Learning rate of a step: linear warm-up to the peak, then constant, or half a cosine down to 0
 * (Loshchilov and Hutter 2017, arXiv:1608.03983, eq. (5) without restarts).
 *
 * @param step steps done before this one, from 0.
 */
export function learningRateAt({ peak, shape, warmup, steps }: LearningRateOptions, step: number): number {
  if (!learningRateShapes.includes(shape)) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `there is no learning-rate schedule '${shape}'; there are: ${learningRateShapes.join(', ')}`,
    );
  }
  if (step < warmup) return (peak * (step + 1)) / warmup;
  if (shape === 'constant') return peak;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  return (peak * (1 + Math.cos(Math.PI * progress))) / 2;
}
