import { tokenDenoisingLoss } from '../graph/ops/token-denoising-loss.ts';
import { tokenNoising } from '../graph/ops/token-noising.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Objective } from '../training/objective.ts';
import type { DiscreteDiffusion } from './discrete-diffusion.ts';
import type { TokenModel } from './token-unet.ts';

/** Options of {@link tokenObjective}. */
export interface TokenObjectiveOptions {
  /** Share of the cross-entropy of the tokens that is added to the variational bound; at least 0. */
  readonly crossEntropyWeight?: number;
}

/**
 * What a token model is trained for: the variational bound in nats a token, plus a share of the cross-entropy (Austin et al. 2021,
 * arXiv:2107.03006, eq. (5), whose text models have 0.01). Reports `bound` and `crossEntropy` with each step. The data are int32.
 *
 * @example
 * train({ model, objective: tokenObjective(diffusion), data, device, steps: 1000 })
 *
 * @throws `ERR_ARGUMENT` for another weight; while planning, `ERR_DTYPE` for data that are no int32.
 */
export function tokenObjective(
  diffusion: DiscreteDiffusion,
  { crossEntropyWeight = 0.01 }: TokenObjectiveOptions = {},
): Objective<TokenModel> {
  if (!(crossEntropyWeight >= 0 && Number.isFinite(crossEntropyWeight))) {
    throw new DiffuseError('ERR_ARGUMENT', `crossEntropyWeight is ${crossEntropyWeight}; it must be at least 0`);
  }
  const { states, mask, steps } = diffusion;
  return {
    name: 'token denoising',
    tables: { keep: Float32Array.from(diffusion.keep) },
    build({ model, inputs: { data: tokens }, randomness, parameter, table }) {
      if (tokens.dtype !== 'i32') {
        throw new DiffuseError('ERR_DTYPE', `tokens are int32; the data are ${tokens.dtype}`);
      }
      const keep = table('keep', [steps]);
      const { xt, timestep } = tokenNoising(tokens, keep, { ...randomness, states, mask });
      const logits = model.forward({ x: xt, t: timestep, parameter, randomness });
      const { loss, bound, crossEntropy } = tokenDenoisingLoss(
        { logits, tokens, xt, timestep, keep },
        { crossEntropyWeight },
      );
      return { loss, outputs: { bound, crossEntropy } };
    },
  };
}
