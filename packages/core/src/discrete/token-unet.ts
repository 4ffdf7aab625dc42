import type { Value } from '../graph/graph.ts';
import type { ModelInputs, Network } from '../models/model.ts';
import { checkUNetOptions } from '../models/unet-options.ts';
import { signalNetwork, signalSizes, type UNet1DOptions } from '../models/unet1d.ts';
import type { DiscreteDiffusion } from './discrete-diffusion.ts';

/** A network that tells what each token was: logits over the kinds of token at every place. */
export interface TokenModel extends Network {
  /**
   * Builds the forward pass.
   *
   * @param inputs `x` float32 [N, L, states], 1 at the state of each token; `t` float32 [N], timesteps.
   * @returns logits float32 [N, L, tokens].
   */
  forward(inputs: ModelInputs): Value;
}

/** Options of {@link tokenUNet}. */
export interface TokenUNetOptions extends Pick<UNet1DOptions, 'channels' | 'layers' | 'attention' | 'dropout'> {
  /** Tokens of a sample, a multiple of 2^(levels - 1). */
  readonly length: number;
  /** Says how many states go in and kinds of token come out. */
  readonly diffusion: DiscreteDiffusion;
}

/**
 * A U-Net for sequences of tokens: that of signals (`unet1d`), a state going in as a vector with one 1, so that its first convolution is
 * the table of embeddings.
 *
 * @example
 * const diffusion = discreteDiffusion({ tokens: 27, transition: 'absorbing' });
 * const model = tokenUNet({ length: 32, diffusion, attention: true });
 *
 * @throws `ERR_ARGUMENT` naming the option that does not fit.
 */
export function tokenUNet(options: TokenUNetOptions): TokenModel {
  const { length, diffusion } = options;
  const sizes = signalSizes(options);
  checkUNetOptions('tokenUNet', { ...sizes, shape: [length], rank: 1, halved: { length } });
  const { states: inputs, tokens: outputs } = diffusion;
  return {
    shape: [length],
    classes: null,
    frozen: new Set(),
    weights: undefined,
    ...signalNetwork({ ...sizes, length, inputs, outputs, classRows: null }),
  };
}
