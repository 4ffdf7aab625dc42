import { concatChannels, expectShape, reshape, type Value } from '../graph/graph.ts';
import { addChannels } from '../graph/ops/add-channels.ts';
import { add, fill } from '../graph/ops/elementwise.ts';
import { type ClassOptions, condition, conditionLayout, resolveClasses } from './blocks/condition.ts';
import { type BlockContext, blockContext, convolution, groupsFor, normalise } from './blocks/layers.ts';
import { convolutionLayout, normLayout, resBlockLayout } from './blocks/layouts.ts';
import { type PortOptions, portChannels, resolvePorts, withEstimate } from './blocks/ports.ts';
import { resBlock } from './blocks/res-block.ts';
import { downsample, upsample } from './blocks/resample.ts';
import { type UNetParts, type UNetSizes, unetTopology } from './blocks/unet-topology.ts';
import type { Model, NullClass } from './model.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import { checkUNetOptions, embeddingOf } from './unet-options.ts';

/** Options of {@link videoUNet}. */
export interface VideoUNetOptions<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends ClassOptions<Classes, Null>,
    PortOptions<Learned> {
  /** Frames, height, width and channels of a video; height and width are multiples of 2^(levels - 1). */
  readonly shape: readonly [frames: number, height: number, width: number, channels: number];
  /** Channels of each level, the finest first, each even. */
  readonly channels?: readonly number[];
  /** Residual blocks a level. */
  readonly layers?: number;
  /** Share of activations dropped while training. */
  readonly dropout?: number;
}

/** All options of a U-Net for videos, the defaults filled in. */
export type VideoUNetConfig = Required<VideoUNetOptions>;

/** A network for videos; {@link videoUNet} makes one. */
export interface VideoUNet<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends Model {
  readonly kind: 'video-unet';
  readonly config: VideoUNetConfig;
  readonly shape: readonly [frames: number, height: number, width: number, channels: number];
  readonly classes: Classes;
  readonly nullClass: NullClass<Null>;
  readonly learnedVariance: Learned;
}

/** Kernels inside a frame, and along the frames. */
const inFrame = [3, 3] as const;
const alongTime = [3, 1] as const;

/**
 * A U-Net for videos, factorised into space and time: each block is the residual block of images on every frame, [N T, H, W, C], and
 * then a convolution along time at every pixel, [N, T, H W, C] with a kernel of 3x1. The convolutions along time begin at zero, so at
 * first the model is one of images, and frames learn to agree from there. Singer et al. 2022 (arXiv:2209.14792), section 3.2; Ho et
 * al. 2022 (arXiv:2204.03458), section 3. Frames keep their number: only height and width are halved.
 *
 * @example
 * const model = videoUNet({ shape: [8, 16, 16, 1], channels: [32, 64] });
 *
 * @throws `ERR_ARGUMENT` naming the option that does not fit.
 */
export function videoUNet<
  Classes extends number | null = null,
  Null extends boolean = false,
  Learned extends boolean = false,
>(options: VideoUNetOptions<Classes, Null, Learned>): VideoUNet<Classes, Null, Learned> {
  const { shape, channels = [32, 64], layers = 1, dropout = 0 } = options;
  const [frames, height, width, videoChannels] = shape;
  checkUNetOptions('videoUNet', { shape, rank: 4, channels, layers, dropout, halved: { height, width } });
  const { classes, nullClass, classRows } = resolveClasses(options);
  const ports = resolvePorts(options);
  const { inputs, outputs } = portChannels(videoChannels, ports);
  const told = embeddingOf(channels, classRows);
  const sizes = { channels, layers };
  const [first = 1] = channels;
  return {
    kind: 'video-unet',
    config: { shape, channels, layers, dropout, classes, nullClass: nullClass !== null, ...ports },
    shape: [frames, height, width, videoChannels],
    classes,
    nullClass,
    ...ports,
    frozen: new Set(),
    weights: undefined,
    parameters: [
      ...conditionLayout(told),
      ...convolutionLayout('conv_in', inFrame, inputs, first),
      ...levelLayouts(sizes, told.width),
      ...normLayout('conv_norm_out', first),
      ...convolutionLayout('conv_out', inFrame, first, outputs),
    ],
    forward({ x, t, labels, estimate, parameter, randomness }) {
      const batch = x.shape[0] ?? 0;
      expectShape('the input of the video U-Net', x.shape, [batch, frames, height, width, videoChannels]);
      const context = blockContext({ parameter, randomness, dropout, groups: groupsFor(channels) });
      const embedding = repeat(condition(context, told, t, labels), frames);
      const images = reshape(withEstimate(x, estimate, ports), [batch * frames, height, width, inputs]);
      const h = unetTopology(sizes, videoParts(context, embedding, frames), convolution(context, 'conv_in', images));
      const out = convolution(context, 'conv_out', normalise(context, 'conv_norm_out', h, { silu: true }));
      return reshape(out, [batch, frames, height, width, outputs]);
    },
  };
}

/** The embedding of a video for each of its frames: float32 [N, E] → [N T, E]. */
function repeat(embedding: Value, frames: number): Value {
  const [batch = 1, width = 1] = embedding.shape;
  const repeated = addChannels(fill(embedding.graph, [batch, frames, width], 0), embedding);
  return reshape(repeated, [batch * frames, width]);
}

/** The levels as values; x is float32 [N T, H, W, C]. */
function videoParts(context: BlockContext, embedding: Value, frames: number): UNetParts<Value> {
  return {
    block(name, x, channels) {
      const h = resBlock(context, `${name}.space`, x, embedding, { channels, timeScaleShift: 'default' });
      return temporalBlock(context, `${name}.time`, h, frames);
    },
    middle: (x) => x,
    down: (name, x) => downsample(context, name, x),
    up: (name, x) => upsample(context, name, x),
    concat: (a, b) => concatChannels([a, b]),
  };
}

/** `x + conv(silu(norm(x)))` along time, the statistics of the norm over all frames; x is float32 [N T, H, W, C]. */
function temporalBlock(context: BlockContext, name: string, x: Value, frames: number): Value {
  return x.graph.scope(name, () => {
    const [images = 1, height = 1, width = 1, channels = 1] = x.shape;
    const video = reshape(x, [images / frames, frames, height * width, channels]);
    const normalised = normalise(context, `${name}.norm`, video, { silu: true });
    return reshape(add(video, convolution(context, `${name}.conv`, normalised)), x.shape);
  });
}

/** The parameters of the levels, in the order in which {@link videoParts} uses them. */
function levelLayouts(sizes: UNetSizes, embedding: number): ParameterLayout[] {
  const parameters: ParameterLayout[] = [];
  const resample = (name: string, channels: number): number => {
    parameters.push(...convolutionLayout(`${name}.conv`, inFrame, channels, channels));
    return channels;
  };
  const parts: UNetParts<number> = {
    block(name, inputs, outputs) {
      const alongFrames = convolutionLayout(`${name}.time.conv`, alongTime, outputs, outputs);
      parameters.push(
        ...resBlockLayout(`${name}.space`, { kernel: inFrame, inputs, outputs, embedding }),
        ...normLayout(`${name}.time.norm`, outputs),
        ...alongFrames.map((parameter) => ({ ...parameter, startsAtZero: true })),
      );
      return outputs;
    },
    middle: (channels) => channels,
    down: resample,
    up: resample,
    concat: (a, b) => a + b,
  };
  unetTopology(sizes, parts, sizes.channels[0] ?? 1);
  return parameters;
}
