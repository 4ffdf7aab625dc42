import { emit, type Value } from '../graph.ts';

/** Options of {@link timeEmbedding}. */
export interface TimeEmbeddingOptions {
  /** Width of the embedding. */
  readonly dimension: number;
  /** Taken from the number of frequencies where it divides: 0 or 1. */
  readonly frequencyShift?: number;
  /** Cosines before sines. */
  readonly flipSinToCos?: boolean;
  /** The slowest wave's length over 2 pi. */
  readonly maxPeriod?: number;
}

/**
 * Sinusoids of the timestep: sin and cos of `t * w_i`, `w_i = maxPeriod^(-i / (dimension/2 - frequencyShift))`, i from 0.
 * Vaswani et al. 2017, arXiv:1706.03762, section 3.5, with diffusers' `freq_shift` and `flip_sin_to_cos`.
 *
 * @param t float32 [N]
 * @returns float32 [N, dimension]
 */
export function timeEmbedding(
  t: Value,
  { dimension, frequencyShift = 0, flipSinToCos = false, maxPeriod = 10_000 }: TimeEmbeddingOptions,
): Value {
  return emit({
    kernel: 'time_embedding_forward',
    outputs: { y: [t.shape[0] ?? 0, dimension] },
    inputs: { t },
    attributes: { frequencyShift, flipSinToCos: Number(flipSinToCos), maxPeriod },
  }).y;
}

/**
 * Random Fourier features of the logarithm of t: sin and cos of `2 pi ln(t) f_i`. Tancik et al. 2020, arXiv:2006.10739, as used by
 * Song et al. 2021 (arXiv:2011.13456) and diffusers' `GaussianFourierProjection`.
 *
 * @param t float32 [N], above 0
 * @param frequencies float32 [F]; not differentiated
 * @returns float32 [N, 2F]
 */
export function fourierEmbedding(
  t: Value,
  frequencies: Value,
  { flipSinToCos = false }: { flipSinToCos?: boolean } = {},
): Value {
  return emit({
    kernel: 'fourier_embedding_forward',
    outputs: { y: [t.shape[0] ?? 0, 2 * (frequencies.shape[0] ?? 0)] },
    inputs: { t, frequencies },
    attributes: { flipSinToCos: Number(flipSinToCos) },
  }).y;
}
