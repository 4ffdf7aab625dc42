import { concatChannels, expectShape, type Value } from '../graph/graph.ts';
import { divideSamples } from '../graph/ops/divide-samples.ts';
import { add, fill } from '../graph/ops/elementwise.ts';
import { DiffuseError } from '../native/errors.ts';
import { attentionBlock } from './blocks/attention-block.ts';
import type { ClassOptions } from './blocks/condition.ts';
import { conditionEmbedding } from './blocks/embeddings.ts';
import { type BlockContext, blockContext, convolution, groupsFor, normalise } from './blocks/layers.ts';
import { type PortOptions, portChannels, withEstimate } from './blocks/ports.ts';
import { resBlock } from './blocks/res-block.ts';
import { downsample, upsample } from './blocks/resample.ts';
import type { Model, ModelInputs, NullClass } from './model.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import { midAttentionGroups, resolveUNet2DConfig, type UNet2DConfig } from './unet2d-config.ts';
import { unet2dParameters } from './unet2d-parameters.ts';
import type { ModelWeights } from './weights.ts';

/** The few choices that most U-Nets differ in. {@link UNet2D.fromConfig} takes them all. */
export interface UNet2DShape<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends ClassOptions<Classes, Null>,
    PortOptions<Learned> {
  /** Height, width and channels of the images; height and width are multiples of 2^(levels - 1). */
  readonly shape: readonly [height: number, width: number, channels: number];
  /** Channels of each level, the finest first. */
  readonly channels: readonly number[];
  /** Heights of the feature maps that get self-attention, e.g. [16]. */
  readonly attention?: readonly number[];
  /** Residual blocks a level. */
  readonly layers?: number;
  /** Share of activations dropped while training. */
  readonly dropout?: number;
  /** Channels of an attention head; null is one head. */
  readonly headChannels?: number | null;
}

/** A network for images; its type knows whether it is told a class. */
export interface UNet2D<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends Model {
  readonly kind: 'unet2d';
  readonly config: UNet2DConfig;
  readonly shape: readonly [height: number, width: number, channels: number];
  readonly classes: Classes;
  readonly nullClass: NullClass<Null>;
  readonly learnedVariance: Learned;
  readonly selfConditioning: boolean;
}

/** How a {@link UNet2D} is made. */
export interface UNet2DConstructor {
  /** @throws `ERR_ARGUMENT` naming the option that does not fit. */
  new <Classes extends number | null = null, Null extends boolean = false, Learned extends boolean = false>(
    options: UNet2DShape<Classes, Null, Learned>,
  ): UNet2D<Classes, Null, Learned>;
  /** A U-Net with every option of diffusers' `UNet2DModel`; see {@link resolveUNet2DConfig}. */
  fromConfig(config: UNet2DConfig): UNet2D;
  readonly prototype: UNet2D;
}

class UNet2DNetwork implements UNet2D {
  readonly kind = 'unet2d';
  readonly config: UNet2DConfig;
  readonly shape: readonly [height: number, width: number, channels: number];
  readonly classes: number | null;
  readonly nullClass: number | null;
  readonly learnedVariance: boolean;
  readonly selfConditioning: boolean;
  readonly parameters: readonly ParameterLayout[];
  readonly frozen: ReadonlySet<string> = new Set(['time_proj.weight']);
  weights: ModelWeights | undefined;

  constructor(options: UNet2DShape | UNet2DConfig) {
    this.config = 'blockOutChannels' in options ? options : configOf(options);
    const { sampleSize, inChannels, outChannels, selfConditioning } = this.config;
    const channels = selfConditioning ? inChannels / 2 : inChannels;
    if (outChannels !== channels && outChannels !== 2 * channels) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `a diffusion model returns what it is given, or twice the channels with its variance: ${channels} channels in, ${outChannels} out`,
      );
    }
    this.shape = [...sampleSize, channels];
    this.learnedVariance = outChannels === 2 * channels;
    this.selfConditioning = selfConditioning;
    ({ classes: this.classes, nullClass: this.nullClass } = classesOf(this.config));
    this.parameters = unet2dParameters(this.config);
  }

  static fromConfig(config: UNet2DConfig): UNet2D {
    return new UNet2DNetwork(config);
  }

  /** @throws `ERR_SHAPE` when x is not [N, ...shape]. */
  forward({ x, t, labels, estimate, parameter, randomness }: ModelInputs): Value {
    const { config } = this;
    expectShape('the input of the U-Net', x.shape.slice(1), this.shape);
    const { normNumGroups: groups, normEps: eps, dropout } = config;
    const context = blockContext({ parameter, groups, eps, dropout, randomness });
    const embedding = conditionEmbedding(context, config, t, labels);
    const seen = withEstimate(x, estimate, this);
    const centered = config.centerInputSample ? add(seen, fill(x.graph, seen.shape, 1), { alpha: 2, beta: -1 }) : seen;
    let h = x.graph.scope('conv_in', () => convolution(context, 'conv_in', centered));
    const skips = [h];
    h = this.#down(context, h, embedding, skips);
    h = this.#middle(context, h, embedding);
    h = this.#up(context, h, embedding, skips);
    h = x.graph.scope('conv_out', () =>
      convolution(context, 'conv_out', normalise(context, 'conv_norm_out', h, { silu: true })),
    );
    return config.timeEmbeddingType === 'fourier' ? divideSamples(h, t) : h;
  }

  /** From fine to coarse. Every feature map is kept in `skips`. */
  #down(context: BlockContext, x: Value, embedding: Value, skips: Value[]): Value {
    const { blockOutChannels, downBlockTypes, layersPerBlock, downsamplePadding, resnetTimeScaleShift } = this.config;
    let h = x;
    blockOutChannels.forEach((channels, level) => {
      const block = `down_blocks.${level}`;
      for (let layer = 0; layer < layersPerBlock; layer++) {
        h = resBlock(context, `${block}.resnets.${layer}`, h, embedding, {
          channels,
          timeScaleShift: resnetTimeScaleShift,
        });
        if (downBlockTypes[level] === 'AttnDownBlock2D') {
          h = attentionBlock(context, `${block}.attentions.${layer}`, h, {
            headChannels: this.config.attentionHeadDim,
          });
        }
        skips.push(h);
      }
      if (level < blockOutChannels.length - 1) {
        h = downsample(context, `${block}.downsamplers.0`, h, downsamplePadding);
        skips.push(h);
      }
    });
    return h;
  }

  #middle(context: BlockContext, x: Value, embedding: Value): Value {
    const { config } = this;
    if (config.midBlockType === null) return x;
    const channels = config.blockOutChannels.at(-1) ?? 1;
    const scale = config.midBlockScaleFactor;
    const options = { channels, timeScaleShift: config.resnetTimeScaleShift, scale };
    let h = resBlock(context, 'mid_block.resnets.0', x, embedding, options);
    if (config.addAttention) {
      h = attentionBlock(context, 'mid_block.attentions.0', h, {
        headChannels: config.attentionHeadDim,
        groups: midAttentionGroups(config),
        scale,
      });
    }
    return resBlock(context, 'mid_block.resnets.1', h, embedding, options);
  }

  /** From coarse to fine. Every residual block takes one feature map back from `skips`. */
  #up(context: BlockContext, x: Value, embedding: Value, skips: Value[]): Value {
    const { blockOutChannels, upBlockTypes, layersPerBlock, resnetTimeScaleShift } = this.config;
    let h = x;
    [...blockOutChannels].reverse().forEach((channels, level) => {
      const block = `up_blocks.${level}`;
      for (let layer = 0; layer <= layersPerBlock; layer++) {
        h = concatChannels([h, skips.pop() as Value]);
        h = resBlock(context, `${block}.resnets.${layer}`, h, embedding, {
          channels,
          timeScaleShift: resnetTimeScaleShift,
        });
        if (upBlockTypes[level] === 'AttnUpBlock2D') {
          h = attentionBlock(context, `${block}.attentions.${layer}`, h, {
            headChannels: this.config.attentionHeadDim,
          });
        }
      }
      if (level < blockOutChannels.length - 1) h = upsample(context, `${block}.upsamplers.0`, h);
    });
    return h;
  }
}

/**
 * The U-Net of Ho et al. 2020 (arXiv:2006.11239, appendix B), identical to diffusers' `UNet2DModel` in parameters and numbers.
 *
 * @example
 * const model = new UNet2D({ shape: [32, 32, 3], channels: [64, 128, 256], attention: [16] });
 */
export const UNet2D: UNet2DConstructor = UNet2DNetwork as UNet2DConstructor;

/** Classes of a table of classes, whose last row may be the null class. */
function classesOf({ classEmbedType, numClassEmbeds, nullClass }: UNet2DConfig): Pick<Model, 'classes' | 'nullClass'> {
  if (classEmbedType !== null || numClassEmbeds === null) return { classes: null, nullClass: null };
  const classes = nullClass ? numClassEmbeds - 1 : numClassEmbeds;
  return { classes, nullClass: nullClass ? classes : null };
}

/** The full configuration behind the few choices of {@link UNet2DShape}. */
function configOf(options: UNet2DShape): UNet2DConfig {
  const { shape, channels, attention = [], layers = 2, dropout = 0, headChannels = null } = options;
  const { classes = null, nullClass = false, selfConditioning = false } = options;
  if (nullClass && classes === null) {
    throw new DiffuseError('ERR_ARGUMENT', 'nullClass is true, but the model is not told a class: give classes');
  }
  const [height, width, imageChannels] = shape;
  const { inputs, outputs } = portChannels(imageChannels, options);
  const attended = channels.map((_, level) => attention.includes(height / 2 ** level));
  const unmatched = attention.find((size) => !channels.some((_, level) => height / 2 ** level === size));
  if (unmatched !== undefined) {
    const sizes = channels.map((_, level) => height / 2 ** level).join(', ');
    throw new DiffuseError('ERR_ARGUMENT', `attention at height ${unmatched}: the feature maps have heights ${sizes}`);
  }
  return resolveUNet2DConfig({
    sampleSize: [height, width],
    inChannels: inputs,
    outChannels: outputs,
    blockOutChannels: channels,
    layersPerBlock: layers,
    downBlockTypes: attended.map((here) => (here ? 'AttnDownBlock2D' : 'DownBlock2D')),
    upBlockTypes: [...attended].reverse().map((here) => (here ? 'AttnUpBlock2D' : 'UpBlock2D')),
    attentionHeadDim: headChannels,
    normNumGroups: groupsFor(channels),
    addAttention: attention.length > 0,
    numClassEmbeds: classes === null ? null : classes + Number(nullClass),
    nullClass,
    selfConditioning,
    dropout,
  });
}
