import { DiffuseError } from '../../native/errors.ts';
import { emit, expectShape, type Value } from '../graph.ts';

/** Options of {@link groupNorm}. */
export interface GroupNormOptions {
  /** Number of groups; must divide the channels. */
  readonly groups: number;
  /** Added to the variance. */
  readonly eps?: number;
  /** Follow the normalisation with SiLU, in the same pass over memory. */
  readonly silu?: boolean;
}

/**
 * Group normalisation: `y = (x - mean) * rstd * gamma + beta`, mean and 1/sqrt(variance + eps) over the pixels and the channels of
 * each group of each sample; with `silu`, then SiLU. Wu and He 2018, arXiv:1803.08494.
 *
 * Two kernels: the statistics, which are kept, and the normalisation, which the backward pass computes again from x.
 *
 * @param x float32 [N, ..., C]
 * @param gamma float32 [C]
 * @param beta float32 [C]
 */
export function groupNorm(
  x: Value,
  gamma: Value,
  beta: Value,
  { groups, eps = 1e-5, silu = false }: GroupNormOptions,
): Value {
  const channels = x.shape.at(-1) ?? 0;
  const samples = x.shape[0] ?? 0;
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new DiffuseError('ERR_SHAPE', `groupNorm: ${groups} groups do not divide ${channels} channels`);
  }
  expectShape('gamma of groupNorm', gamma.shape, [channels]);
  expectShape('beta of groupNorm', beta.shape, [channels]);
  const { mean, rstd } = emit({
    kernel: 'group_norm_statistics',
    outputs: { mean: [samples, groups], rstd: [samples, groups] },
    inputs: { x },
    attributes: { groups, eps },
    // The gradient through the statistics is part of the gradient of the normalisation below.
    gradient: () => ({}),
  });
  return emit({
    kernel: silu ? 'group_norm_silu_forward' : 'group_norm_forward',
    outputs: { y: x.shape },
    inputs: { x, mean, rstd, gamma, beta },
    recompute: true,
    gradient: ({ y: dy }) => {
      if (!dy) return {};
      const { dx, dgamma, dbeta } = emit({
        kernel: silu ? 'group_norm_silu_backward' : 'group_norm_backward',
        outputs: { dx: x.shape, dgamma: gamma.shape, dbeta: beta.shape },
        inputs: { dy, x, mean, rstd, gamma, beta },
      });
      return { x: dx, gamma: dgamma, beta: dbeta };
    },
  }).y;
}
