import { expectShape, type Value } from '../graph/graph.ts';
import { DiffuseError } from '../native/errors.ts';
import { type BlockContext, blockContext, convolution, groupsFor, normalise } from './blocks/layers.ts';
import { convolutionLayout, normLayout, resBlockLayout } from './blocks/layouts.ts';
import { resBlock } from './blocks/res-block.ts';
import { downsample, upsample } from './blocks/resample.ts';
import type { ModelInputs, Network } from './model.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import { checkUNetOptions } from './unet-options.ts';

/** Options of {@link autoencoder}. */
export interface AutoencoderOptions {
  /** Height, width and channels of the images; height and width are multiples of 2^(levels - 1). */
  readonly shape: readonly [height: number, width: number, channels: number];
  /** Channels of each level, the finest first, each even. */
  readonly channels?: readonly number[];
  /** Channels of a latent. */
  readonly latentChannels?: number;
}

/** All options of an autoencoder, the defaults filled in. */
export type AutoencoderConfig = Required<AutoencoderOptions>;

/** What the two halves of an {@link Autoencoder} need beside the data. */
export type CoderInputs = Pick<ModelInputs, 'parameter'>;

/** A network that puts images into small latents and takes them out again. */
export interface Autoencoder extends Network {
  readonly kind: 'autoencoder';
  readonly config: AutoencoderConfig;
  readonly shape: readonly [height: number, width: number, channels: number];
  /** Shape of the latent of an image: each level but the first halves height and width. */
  readonly latentShape: readonly [height: number, width: number, channels: number];
  /** float32 [N, ...shape] → moments [N, ...latentShape with twice the channels]: means, then logarithms of variances. */
  encode(x: Value, inputs: CoderInputs): Value;
  /** float32 [N, ...latentShape] → [N, ...shape]. */
  decode(z: Value, inputs: CoderInputs): Value;
}

const kernel = [3, 3] as const;

/**
 * A small convolutional variational autoencoder for latent diffusion (Rombach et al. 2022, arXiv:2112.10752, section 3.1): residual
 * blocks from fine to coarse and back, no path between the two halves but the latent. Train it with `autoencodingObjective`.
 *
 * @example
 * const coder = autoencoder({ shape: [32, 32, 3], channels: [32, 64, 64], latentChannels: 4 }); // latents [8, 8, 4]
 *
 * @throws `ERR_ARGUMENT` naming the option that does not fit.
 */
export function autoencoder({ shape, channels = [32, 64], latentChannels = 4 }: AutoencoderOptions): Autoencoder {
  const [height, width, imageChannels] = shape;
  checkUNetOptions('autoencoder', { shape, rank: 3, channels, layers: 1, dropout: 0, halved: { height, width } });
  if (!Number.isSafeInteger(latentChannels) || latentChannels < 1) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `autoencoder: latentChannels is ${latentChannels}; it must be a positive integer`,
    );
  }
  const factor = 2 ** (channels.length - 1);
  const latentShape = [height / factor, width / factor, latentChannels] as const;
  const groups = groupsFor(channels);
  const contextOf = ({ parameter }: CoderInputs): BlockContext =>
    blockContext({ parameter, groups, dropout: 0, randomness: undefined });
  const upwards = [...channels].reverse();
  return {
    kind: 'autoencoder',
    config: { shape, channels, latentChannels },
    shape: [height, width, imageChannels],
    latentShape,
    classes: null,
    frozen: new Set(),
    weights: undefined,
    parameters: [
      ...halfLayout('encoder', channels, { inputs: imageChannels, outputs: 2 * latentChannels }),
      ...halfLayout('decoder', upwards, { inputs: latentChannels, outputs: imageChannels }),
    ],
    encode(x, inputs) {
      expectShape('the input of the encoder', x.shape.slice(1), shape);
      return half(contextOf(inputs), 'encoder', x, { channels, resample: downsample });
    },
    decode(z, inputs) {
      expectShape('the input of the decoder', z.shape.slice(1), latentShape);
      return half(contextOf(inputs), 'decoder', z, { channels: upwards, resample: upsample });
    },
  };
}

/** One half: a residual block a level, resampled between levels. */
function half(
  context: BlockContext,
  name: string,
  x: Value,
  {
    channels,
    resample,
  }: {
    readonly channels: readonly number[];
    readonly resample: (context: BlockContext, name: string, x: Value) => Value;
  },
): Value {
  return x.graph.scope(name, () => {
    let h = convolution(context, `${name}.conv_in`, x);
    for (const [level, count] of channels.entries()) {
      h = resBlock(context, `${name}.blocks.${level}`, h, undefined, { channels: count, timeScaleShift: 'default' });
      if (level < channels.length - 1) h = resample(context, `${name}.resample.${level}`, h);
    }
    return convolution(context, `${name}.conv_out`, normalise(context, `${name}.norm_out`, h, { silu: true }));
  });
}

/** The parameters of {@link half}. */
function halfLayout(
  name: string,
  channels: readonly number[],
  { inputs, outputs }: { readonly inputs: number; readonly outputs: number },
): ParameterLayout[] {
  const [first = 1] = channels;
  const last = channels.at(-1) ?? 1;
  return [
    ...convolutionLayout(`${name}.conv_in`, kernel, inputs, first),
    ...channels.flatMap((count, level) => [
      ...resBlockLayout(`${name}.blocks.${level}`, {
        kernel,
        inputs: channels[level - 1] ?? first,
        outputs: count,
        embedding: null,
      }),
      ...(level < channels.length - 1 ? convolutionLayout(`${name}.resample.${level}.conv`, kernel, count, count) : []),
    ]),
    ...normLayout(`${name}.norm_out`, last),
    ...convolutionLayout(`${name}.conv_out`, kernel, last, outputs),
  ];
}
