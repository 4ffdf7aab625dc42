import { emit, expectShape, type Value } from '../graph.ts';

/** Tensors of {@link tokenDenoisingLoss}. */
export interface TokenDenoisingTensors {
  /** What the network says of each token, float32 [N, L, K]. */
  readonly logits: Value;
  /** The tokens, int32 [N, L], each in [0, K). */
  readonly tokens: Value;
  /** Their states, float32 [N, L, S], 1 at the state; S is K, or K + 1 where state K is the mask. */
  readonly xt: Value;
  /** float32 [N], integers in [0, T). */
  readonly timestep: Value;
  /** float32 [T], see `DiscreteDiffusion.keep`. */
  readonly keep: Value;
}

/** What {@link tokenDenoisingLoss} returns, each float32 [1]. */
export interface TokenDenoisingLoss {
  /** `bound + crossEntropyWeight * crossEntropy`. */
  readonly loss: Value;
  /** Estimate of the variational bound, nats a token: T times the divergence of the two reverse steps at a uniform timestep. */
  readonly bound: Value;
  /** Mean of -ln of the probability of the token, nats. */
  readonly crossEntropy: Value;
}

/**
 * The hybrid loss of discrete diffusion: the variational bound plus a share of the cross-entropy of the tokens. Austin et al. 2021,
 * arXiv:2107.03006, eq. (5); the reverse step is that of `DiscreteDiffusion.reverse`. Computed in float64. Only `loss` is
 * differentiated, by the logits alone.
 */
export function tokenDenoisingLoss(
  { logits, tokens, xt, timestep, keep }: TokenDenoisingTensors,
  { crossEntropyWeight }: { readonly crossEntropyWeight: number },
): TokenDenoisingLoss {
  const [batch = 0, length = 0] = logits.shape;
  expectShape('tokens of tokenDenoisingLoss', tokens.shape, [batch, length]);
  expectShape('timestep of tokenDenoisingLoss', timestep.shape, [batch]);
  return emit({
    kernel: 'token_denoising_loss_forward',
    outputs: { loss: [1], bound: [1], crossEntropy: [1] },
    inputs: { logits, tokens, xt, timestep, keep },
    attributes: { crossEntropyWeight },
    gradient: ({ loss: dloss }) => ({
      logits:
        dloss &&
        emit({
          kernel: 'token_denoising_loss_backward',
          outputs: { dlogits: logits.shape },
          inputs: { dloss, logits, tokens, xt, timestep, keep },
          attributes: { crossEntropyWeight },
        }).dlogits,
    }),
  });
}
