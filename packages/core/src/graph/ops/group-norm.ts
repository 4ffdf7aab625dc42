import { DiffuseError } from '../../native/errors.ts';
import { emit, expectShape, type Shape, type Value } from '../graph.ts';

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
 * Three kernels: the moments of every channel, the statistics of the groups, which are kept, and the normalisation, which the
 * backward pass computes again from x. A convolution may do the first while it writes x and the last while it reads it
 * (`graph/fuse.ts`).
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
  const { chunk, pixels, chunks, moments: momentsShape } = momentChunks(x.shape);
  const { moments } = emit({
    kernel: 'channel_moments',
    outputs: { moments: momentsShape },
    inputs: { x },
    attributes: { chunk },
    gradient: () => ({}),
  });
  const { mean, rstd } = emit({
    kernel: 'group_norm_statistics',
    outputs: { mean: [samples, groups], rstd: [samples, groups] },
    inputs: { moments },
    attributes: { eps, pixels, chunk },
    // The gradient through the statistics is part of the gradient of the normalisation below.
    gradient: () => ({}),
  });
  return emit({
    kernel: 'normalise_forward',
    outputs: { y: x.shape },
    inputs: { x, mean, rstd, gamma, beta },
    attributes: { silu: Number(silu) },
    recompute: true,
    gradient: ({ y: dy }) => {
      if (!dy) return {};
      const { dz = dy, sums } = emit<'dz' | 'sums'>({
        kernel: 'normalise_backward',
        outputs: { dz: silu ? x.shape : undefined, sums: [samples, chunks, 2, channels] },
        inputs: { dy, x, mean, rstd, gamma, beta },
        attributes: { silu: Number(silu), chunk },
      });
      const { coefficients, dgamma, dbeta } = emit({
        kernel: 'group_norm_gradient',
        outputs: { coefficients: [samples, 4, channels], dgamma: gamma.shape, dbeta: beta.shape },
        inputs: { sums, mean, rstd, gamma },
        attributes: { pixels, chunk },
      });
      const { dx } = emit({ kernel: 'normalise_gradient', outputs: { dx: x.shape }, inputs: { dz, x, coefficients } });
      return { x: dx, gamma: dgamma, beta: dbeta };
    },
  }).y;
}

/** Pixels of a chunk where they have no rows. */
const chunkPixels = 64;
/** Rows of a chunk of an image: as many as a tile of Winograd's convolution, which takes the moments of what it writes. */
const chunkRows = 4;

/** How the pixels of [N, ..., C] are cut into chunks of so many pixels whose moments are taken, and the shape of these. */
export function momentChunks(x: Shape): { chunk: number; pixels: number; chunks: number; moments: Shape } {
  const samples = x[0] ?? 1;
  const pixels = x.slice(1, -1).reduce((product, size) => product * size, 1);
  const chunk = x.length === 4 ? chunkRows * (x[2] ?? 1) : chunkPixels;
  const chunks = Math.ceil(pixels / chunk);
  return { chunk, pixels, chunks, moments: [samples, chunks, 3, x.at(-1) ?? 1] };
}
