import { type Dataset, dataPoints, type Estimate, idealLoss, type LossByLevel } from '@diffuse/core';
import { usageError } from '../failure.ts';
import type { Progress } from '../terminal/progress.ts';
import type { Report } from '../terminal/report.ts';

/** The least loss at each level. */
export interface LossFloor {
  /** Mean squared error of the noise; undefined where nothing but noise is left. */
  readonly levels: readonly (Estimate | undefined)[];
  /** Images that the ideal denoiser knows. */
  readonly images: number;
}

/** Values of images that fit into a few seconds of computing. */
const mostValues = 2 ** 23;

/** Noisy images at each level. */
const draws = 32;

/**
 * How many images the ideal denoiser shall know.
 *
 * @param asked as `--floor-images` says; 0: there is no floor.
 * @param measured images that the loss is measured on.
 * @throws Failure when it would know fewer images than these, or more than there are.
 */
export function floorImageCount(asked: number | undefined, { count, shape }: Dataset, measured: number): number {
  const size = shape.reduce((product, side) => product * side, 1);
  if (asked === undefined) return Math.min(count, Math.max(measured, Math.floor(mostValues / size)));
  if (asked === 0 || (asked >= measured && asked <= count)) return asked;
  throw usageError(
    `--floor-images must be 0, or at least the ${measured} images that the loss is measured on and at most the ${count} ` +
      `that there are; got ${asked}`,
  );
}

/**
 * The loss of the ideal denoiser, which knows the images by heart: no network has a smaller one on them. The images that the loss was
 * measured on come first among those that it knows.
 *
 * @param images number of images that it knows, at least 1.
 * @throws DiffuseError `ERR_CANCELLED`.
 */
export async function lossFloor(
  { data, seed = 0 }: { readonly data: Dataset; readonly seed?: number },
  { levels }: LossByLevel,
  images: number,
  report: Report,
  signal: AbortSignal,
): Promise<LossFloor> {
  const points = await dataPoints(data, { count: images, seed, signal });
  const finite = levels.map(({ sigma }) => sigma).filter(Number.isFinite);
  let progress: Progress | undefined;
  const ideal = await idealLoss({
    ...points,
    sigmas: finite,
    draws,
    seed,
    signal,
    onProgress({ done, total }) {
      progress ??= report.progress('computing the floor', total);
      progress.update(done);
    },
  }).finally(() => progress?.end());
  const bySigma = new Map(ideal.map(({ sigma, eps }) => [sigma, eps]));
  return { images, levels: levels.map(({ sigma }) => bySigma.get(sigma)) };
}
