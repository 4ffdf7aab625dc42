import type { Model } from '../models/model.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose, philox, splitSeed } from '../random/philox.ts';

/** Which labels {@link dropLabels} drops. */
export interface DropLabelsOptions {
  /** Share that is dropped, in [0, 1]. */
  readonly probability: number;
  /** What takes the place of a dropped label. */
  readonly nullClass: number;
  readonly seed: number;
  readonly step: number;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: number;
}

/**
 * Labels of which some say nothing, so that one network learns to predict with and without a class (Ho and Salimans 2022,
 * arXiv:2207.12598, algorithm 1, line 3). A label is dropped where a uniform number of its seed, step and sample is below
 * `probability`, as the kernels draw them (`native/ops/random.h`). Done here and not in a kernel: labels come from the host anyway, and
 * integers are the same on every machine.
 *
 * @param labels int32 [N]
 */
export function dropLabels(
  labels: Int32Array,
  { probability, nullClass, seed, step, sampleOffset }: DropLabelsOptions,
): Int32Array {
  const key = splitSeed(seed);
  return labels.map((label, n) => {
    const [word] = philox(key, [0, sampleOffset + n, step, Purpose.dropClass]);
    return (word >>> 8) / 2 ** 24 < probability ? nullClass : label;
  });
}

/** @throws `ERR_ARGUMENT` for a share outside [0, 1), or one above 0 of a model that has no null class. */
export function checkDropClass(probability: number, { classes, nullClass }: Model): void {
  if (!(probability >= 0 && probability < 1)) {
    throw new DiffuseError('ERR_ARGUMENT', `dropClass is ${probability}; it must be in [0, 1)`);
  }
  if (probability === 0 || nullClass !== null) return;
  throw new DiffuseError(
    'ERR_ARGUMENT',
    classes === null
      ? `dropClass is ${probability}, but the model is not told a class: there is nothing to drop`
      : `dropClass is ${probability}, but the model has no null class: make it with nullClass: true`,
  );
}
