import { type Attribute, emit, expectShape, type Value } from '../graph.ts';

/** Numbers of a level that the op itself knows. */
const LEVEL_COLUMNS = 6;

/** Options of {@link noising}. */
export interface NoisingOptions {
  readonly seedLow: Attribute;
  readonly seedHigh: Attribute;
  readonly step: Attribute;
  /** Index of the first sample of the batch. */
  readonly sampleOffset: Attribute;
  /** Mirror each image left to right with probability 1/2. */
  readonly flip?: boolean;
  /** Deviation of a further noise that is one number for each channel of a sample; 0 for none. */
  readonly offsetNoise?: number;
  /** Noise level of each sample, float32 [N], integers in [0, T); drawn evenly where it is absent. */
  readonly level?: Value | undefined;
}

/** What {@link noising} makes of a batch. */
export interface Noised {
  /** Noisy samples, float32 [N, ..., C]. */
  readonly xt: Value;
  /** What the network should predict, float32 [N, ..., C]. */
  readonly target: Value;
  /** What the network is told of each sample's noise level, float32 [N]. */
  readonly timestep: Value;
  /** Weight of each image in the loss, float32 [N]. */
  readonly weight: Value;
  /** Further numbers of each sample's level, float32 [N, K]; undefined where the table has none. */
  readonly extra: Value | undefined;
}

/**
 * The forward process, from bytes to a training example in one pass: bytes to [-1, 1], perhaps mirrored; a uniform timestep; Gaussian
 * noise; x_t and the target. Ho et al. 2020, algorithm 1, lines 2 to 4. Offset noise: Guttenberg 2023, "Diffusion with offset
 * noise".
 *
 * @param images uint8 [N, ..., W, C], or float32 that is taken as it is
 * @param table float32 [T, 6 + K]: `Diffusion.noisingTable()`, signal, noise, targetX0, targetEps, weight and told, and in the same row
 *   K further numbers of the level
 */
export function noising(
  images: Value,
  table: Value,
  { flip = false, offsetNoise = 0, level, ...stream }: NoisingOptions,
): Noised {
  const samples = images.shape[0] ?? 0;
  const further = Math.max(0, (table.shape[1] ?? 0) - LEVEL_COLUMNS);
  expectShape('table of noising', table.shape, [table.shape[0] ?? 0, LEVEL_COLUMNS + further]);
  if (level) expectShape('level of noising', level.shape, [samples]);
  const { extra, ...noised } = emit({
    kernel: 'noising',
    outputs: {
      xt: images.shape,
      target: images.shape,
      timestep: [samples],
      weight: [samples],
      extra: further > 0 ? [samples, further] : undefined,
    },
    inputs: { images, table, level },
    attributes: { ...stream, flip: Number(flip), offsetNoise },
  });
  return { ...noised, extra: further > 0 ? extra : undefined };
}
