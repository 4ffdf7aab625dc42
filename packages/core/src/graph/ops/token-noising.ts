import { DiffuseError } from '../../native/errors.ts';
import { type Attribute, emit, expectShape, shapeText, type Value } from '../graph.ts';

/** Options of {@link tokenNoising}. */
export interface TokenNoisingOptions {
  /** Number of states: the kinds of token, and the mask if there is one. */
  readonly states: number;
  /** The state that a lost token becomes; null: any of them, each as likely. */
  readonly mask: number | null;
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
}

/**
 * The forward process of discrete diffusion: a uniform timestep for each sample, then each token is kept with the probability
 * `keep[t]` or lost. Austin et al. 2021, arXiv:2107.03006, section 3.1.
 *
 * @param tokens int32 [N, L], each in [0, states)
 * @param keep float32 [T], see `DiscreteDiffusion.keep`
 * @returns `xt` float32 [N, L, states], 1 at the state and 0 elsewhere; `timestep` float32 [N], integers in [0, T)
 */
export function tokenNoising(
  tokens: Value,
  keep: Value,
  { states, mask, ...stream }: TokenNoisingOptions,
): { xt: Value; timestep: Value } {
  const [batch = 0, length = 0] = tokens.shape;
  if (tokens.shape.length !== 2) {
    throw new DiffuseError('ERR_SHAPE', `tokenNoising: tokens are ${shapeText(tokens.shape)}, expected [N, L]`);
  }
  expectShape('keep of tokenNoising', keep.shape, [keep.shape[0] ?? 0]);
  return emit({
    kernel: 'token_noising',
    outputs: { xt: [batch, length, states], timestep: [batch] },
    inputs: { tokens, keep },
    attributes: { ...stream, mask: mask ?? -1 },
  });
}
