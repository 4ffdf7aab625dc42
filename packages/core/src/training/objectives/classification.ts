import { type Diffusion, NOISING_COLUMNS } from '../../diffusion/gaussian.ts';
import { scale } from '../../graph/ops/elementwise.ts';
import { noising } from '../../graph/ops/noising.ts';
import { sum } from '../../graph/ops/reductions.ts';
import { softmaxCrossEntropy } from '../../graph/ops/softmax-cross-entropy.ts';
import type { Classifier } from '../../models/classifier.ts';
import { DiffuseError } from '../../native/errors.ts';
import type { Objective } from '../objective.ts';

/** Options of {@link classification}. */
export interface ClassificationOptions {
  /** Noise the images first, each to a random level: for a classifier that can judge noisy images. */
  readonly diffusion?: Diffusion | undefined;
  /** Mirror each image left to right with probability 1/2. */
  readonly flip?: boolean;
}

/**
 * Telling what an image shows: the mean negative logarithm of the probability of its label. Reports `accuracy`, the share of the batch
 * whose label is the most probable class. With a diffusion the images are noised as in training a denoiser (Dhariwal and Nichol 2021,
 * arXiv:2105.05233, section 4.1).
 *
 * @throws while training is planned, `ERR_DTYPE` for data that are neither bytes nor float32, `ERR_ARGUMENT` when the classifier is told
 * the noise level and there is no noise.
 */
export function classification({ diffusion, flip = false }: ClassificationOptions = {}): Objective<Classifier> {
  const levels = diffusion?.noisingTable() ?? cleanLevel();
  return {
    name: 'classification',
    tables: { levels },
    build({ model, batchSize, inputs, randomness, parameter, table }) {
      const { data, labels } = inputs;
      const { timeConditioned } = model.config;
      if (data.dtype === 'i32') {
        throw new DiffuseError('ERR_DTYPE', 'a classifier takes images of bytes or float32; these are int32');
      }
      if (!labels) throw new DiffuseError('ERR_ARGUMENT', 'a classifier learns from labels; there are none');
      if (timeConditioned && !diffusion) {
        throw new DiffuseError(
          'ERR_ARGUMENT',
          'the classifier is told the noise level: give classification a diffusion',
        );
      }
      const rows = table('levels', [levels.length / NOISING_COLUMNS, NOISING_COLUMNS]);
      const { xt, timestep } = noising(data, rows, { ...randomness, flip });
      const t = timeConditioned ? timestep : undefined;
      const { logits } = model.forward({ x: xt, t, parameter, randomness });
      const { loss, correct } = softmaxCrossEntropy(logits, labels);
      return { loss, outputs: { accuracy: scale(sum(correct), 1 / batchSize) } };
    },
  };
}

/** A noising table of one level, the images as they are: signal 1, noise 0. */
function cleanLevel(): Float32Array {
  const row = new Float32Array(NOISING_COLUMNS);
  row[0] = 1;
  return row;
}
