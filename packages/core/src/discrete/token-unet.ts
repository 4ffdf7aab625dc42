import type { Value } from '../graph/graph.ts';
import type { ModelInputs, Network } from '../models/model.ts';
import { checkUNetOptions } from '../models/unet-options.ts';
import { signalNetwork, signalSizes, type UNet1DOptions } from '../models/unet1d.ts';
import type { DiscreteDiffusion } from './discrete-diffusion.ts';

/** The options of {@link tokenUNet} that say how large the network is. */
type TokenUNetSizes = Pick<UNet1DOptions, 'channels' | 'layers' | 'attention' | 'dropout'>;

/** Options of {@link tokenUNet}. */
export interface TokenUNetOptions extends TokenUNetSizes {
  /** Tokens of a sample, a multiple of 2^(levels - 1). */
  readonly length: number;
  /** Says how many states go in and kinds of token come out. */
  readonly diffusion: Pick<DiscreteDiffusion, 'tokens' | 'states'>;
}

/** All that makes a token model, the defaults filled in. */
export interface TokenUNetConfig extends Required<TokenUNetSizes> {
  readonly length: number;
  /** Kinds of token. */
  readonly tokens: number;
  /** States that a token can be in: the kinds of token, and the mask if there is one. */
  readonly states: number;
}

/** A network that tells what each token was: logits over the kinds of token at every place. */
export interface TokenModel extends Network {
  readonly kind: 'token-unet';
  readonly config: TokenUNetConfig;
  readonly shape: readonly [length: number];
  /**
   * Builds the forward pass.
   *
   * @param inputs `x` float32 [N, L, states], 1 at the state of each token; `t` float32 [N], timesteps.
   * @returns logits float32 [N, L, tokens].
   */
  forward(inputs: ModelInputs): Value;
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
  const { tokens, states } = diffusion;
  const sizes = signalSizes(options);
  checkUNetOptions('tokenUNet', { ...sizes, shape: [length], rank: 1, halved: { length } });
  return {
    kind: 'token-unet',
    config: { length, tokens, states, ...sizes },
    shape: [length],
    classes: null,
    frozen: new Set(),
    weights: undefined,
    ...signalNetwork({ ...sizes, length, inputs: states, outputs: tokens, classRows: null }),
  };
}
