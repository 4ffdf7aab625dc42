import { NOISING_COLUMNS } from '../diffusion/gaussian.ts';
import type { Value } from '../graph/graph.ts';
import { add, fill } from '../graph/ops/elementwise.ts';
import { gaussianLatent } from '../graph/ops/gaussian-latent.ts';
import { noising } from '../graph/ops/noising.ts';
import { randomNormal } from '../graph/ops/random.ts';
import { weightedMse } from '../graph/ops/weighted-mse.ts';
import type { Autoencoder } from '../models/autoencoder.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose } from '../random/philox.ts';
import type { Objective, ObjectiveContext } from '../training/objective.ts';

/** Options of {@link autoencodingObjective}. */
export interface AutoencodingOptions {
  /** Weight of the divergence, nats a value of the image, beside the mean squared error; at least 0. */
  readonly klWeight?: number;
}

/**
 * What an autoencoder is trained for: the mean squared error of the image that comes out, plus `klWeight` times the divergence of the
 * latents' law from N(0, I), in nats over the number of values of an image (Kingma and Welling 2014, arXiv:1312.6114, eq. (10), the
 * variance of the decoder being klWeight / 2). Reports both, as `error` and `kl` (nats an image), with each step.
 *
 * @throws `ERR_ARGUMENT` for another weight; while planning, `ERR_DTYPE` for int32 data.
 */
export function autoencodingObjective({ klWeight = 1e-3 }: AutoencodingOptions = {}): Objective<Autoencoder> {
  if (!(klWeight >= 0 && Number.isFinite(klWeight))) {
    throw new DiffuseError('ERR_ARGUMENT', `klWeight is ${klWeight}; it must be at least 0`);
  }
  return {
    name: 'autoencoding',
    tables: imageTables,
    build(context) {
      const { graph, model, batchSize, randomness, parameter } = context;
      const images = readImages(context);
      const stream = { ...randomness, purpose: Purpose.noise };
      const noise = randomNormal(graph, [batchSize, ...model.latentShape], stream);
      const { z, kl } = gaussianLatent(model.encode(images, { parameter }), noise);
      const { loss: error } = weightedMse(model.decode(z, { parameter }), images, fill(graph, [batchSize], 1));
      const values = model.shape.reduce((product, size) => product * size, 1);
      return { loss: add(error, kl, { beta: klWeight / values }), outputs: { error, kl } };
    },
  };
}

/** One noise level without noise: through it, bytes are read as [-1, 1], as the denoising objective reads them. */
const imageTables = { clean: Float32Array.from({ length: NOISING_COLUMNS }, (_, column) => Number(column === 0)) };

function readImages({ inputs: { data }, randomness, table }: ObjectiveContext<Autoencoder>): Value {
  if (data.dtype === 'i32') {
    throw new DiffuseError('ERR_DTYPE', 'an autoencoder goes with data of bytes or float32; these are int32');
  }
  return data.dtype === 'f32' ? data : noising(data, table('clean', [1, NOISING_COLUMNS]), randomness).xt;
}
