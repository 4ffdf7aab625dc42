import { type Diffusion, NOISING_COLUMNS } from '../../diffusion/gaussian.ts';
import { noising } from '../../graph/ops/noising.ts';
import { weightedMse } from '../../graph/ops/weighted-mse.ts';
import { DiffuseError } from '../../native/errors.ts';
import { checkNumber } from '../../schedules/checks.ts';
import type { Objective } from '../objective.ts';

/** Options of {@link diffusionObjective}. */
export interface DiffusionObjectiveOptions {
  /** Mirror each image left to right with probability 1/2. */
  readonly flip?: boolean;
  /** Deviation of a further noise that is one number for each channel of a sample, at least 0. */
  readonly offsetNoise?: number;
}

/**
 * The denoising objective (Ho et al. 2020, arXiv:2006.11239, algorithm 1): a random timestep and noise for each sample, the
 * network's prediction from x_t, the weighted squared error to the target. What `train({ diffusion })` uses.
 *
 * The data are bytes, read as [-1, 1], or float32, taken as it is; `ERR_DTYPE` otherwise.
 */
export function diffusionObjective(
  diffusion: Diffusion,
  { flip = false, offsetNoise = 0 }: DiffusionObjectiveOptions = {},
): Objective {
  checkNumber('offsetNoise', offsetNoise, 0, Number.MAX_VALUE);
  return {
    name: 'denoising',
    tables: { noising: diffusion.noisingTable() },
    build({ model, inputs, randomness, parameter, table }) {
      const { data, labels } = inputs;
      if (data.dtype === 'i32') {
        throw new DiffuseError('ERR_DTYPE', 'Gaussian noise goes with data of bytes or float32; these are int32');
      }
      if (flip && data.shape.length !== 4) {
        throw new DiffuseError(
          'ERR_ARGUMENT',
          `flip mirrors images [height, width, channels]; the data are [${model.shape.join(', ')}]`,
        );
      }
      const levels = table('noising', [diffusion.steps, NOISING_COLUMNS]);
      const { xt, target, timestep, weight } = noising(data, levels, { ...randomness, flip, offsetNoise });
      const prediction = model.forward({ x: xt, t: timestep, labels, parameter, randomness });
      return { loss: weightedMse(prediction, target, weight).loss };
    },
  };
}
