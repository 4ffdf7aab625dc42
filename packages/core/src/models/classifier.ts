import { expectShape, type Value } from '../graph/graph.ts';
import { scale } from '../graph/ops/elementwise.ts';
import { sumPixels } from '../graph/ops/reductions.ts';
import { DiffuseError } from '../native/errors.ts';
import { type Condition, condition, conditionLayout } from './blocks/condition.ts';
import { type BlockContext, blockContext, convolution, groupsFor, normalise, project } from './blocks/layers.ts';
import { convolutionLayout, linearLayout, normLayout, resBlockLayout } from './blocks/layouts.ts';
import { resBlock } from './blocks/res-block.ts';
import { downsample } from './blocks/resample.ts';
import type { Network, Randomness } from './model.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import { checkUNetOptions, embeddingOf } from './unet-options.ts';

/** Options of {@link classifier}. */
export interface ClassifierOptions {
  /** Height, width and channels of the images; height and width are multiples of 2^(levels - 1). */
  readonly shape: readonly [height: number, width: number, channels: number];
  /** Number of classes, at least 2. */
  readonly classes: number;
  /** Channels of each level, the finest first, each even. The last are the features. */
  readonly channels?: readonly number[];
  /** Residual blocks a level. */
  readonly layers?: number;
  /** Share of activations dropped while training. */
  readonly dropout?: number;
  /** Whether it is told the noise level: a classifier of noisy images, for classifier guidance. */
  readonly timeConditioned?: boolean;
}

/** All options of a classifier, the defaults filled in. */
export type ClassifierConfig = Required<ClassifierOptions>;

/** What a classifier is applied to. */
export interface ClassifierInputs {
  /** Images in [-1, 1], or noisy ones, float32 [N, ...shape]. */
  readonly x: Value;
  /** Timestep of each image, float32 [N]; for time-conditioned classifiers only. */
  readonly t?: Value | undefined;
  /** The parameter of that name. */
  readonly parameter: (name: string) => Value;
  /** Given while training; without it dropout does nothing. */
  readonly randomness?: Randomness | undefined;
}

/** What a classifier says. */
export interface ClassifierOutputs {
  /** Logarithms of the classes' probabilities but for a constant, float32 [N, classes]. */
  readonly logits: Value;
  /** What the last layer sees, float32 [N, featureSize]: a space in which images that look alike are near. */
  readonly features: Value;
}

/** A network that says what an image shows. */
export interface Classifier extends Network {
  readonly kind: 'classifier';
  readonly config: ClassifierConfig;
  readonly shape: readonly [height: number, width: number, channels: number];
  readonly classes: number;
  /** Length of the features. */
  readonly featureSize: number;
  /** Builds the forward pass. @throws `ERR_SHAPE`; `ERR_ARGUMENT` when `t` is missing, or given without being asked for. */
  forward(inputs: ClassifierInputs): ClassifierOutputs;
}

/** 16, 32 and 96 channels: 150,000 parameters, enough for MNIST and small enough to train in minutes. */
const defaultChannels = [16, 32, 96];

/**
 * A small residual network for images (He et al. 2016, arXiv:1603.05027) out of the blocks of the U-Net: levels of residual blocks with
 * a convolution of stride 2 between them, the mean over the pixels, one linear layer. With `timeConditioned` it is told the noise
 * level as the U-Net is, as Dhariwal and Nichol 2021 (arXiv:2105.05233, section 4.1) do with the U-Net's downward half.
 *
 * @example
 * const digits = classifier({ shape: [28, 28, 1], classes: 10 });
 *
 * @throws `ERR_ARGUMENT` naming the option that does not fit.
 */
export function classifier(options: ClassifierOptions): Classifier {
  const config = resolveConfig(options);
  const { shape, classes, channels, dropout } = config;
  const features = channels.at(-1) ?? 1;
  const told = config.timeConditioned ? embeddingOf(channels, null) : undefined;
  return {
    kind: 'classifier',
    config,
    shape,
    classes,
    featureSize: features,
    frozen: new Set(),
    weights: undefined,
    parameters: classifierParameters(config, told),
    forward({ x, t, parameter, randomness }) {
      expectShape('the input of the classifier', x.shape, [x.shape[0] ?? 0, ...shape]);
      const context = blockContext({ parameter, randomness, dropout, groups: groupsFor(channels) });
      const h = levels(context, config, convolution(context, 'conv_in', x), embed(context, told, t));
      const [, height = 1, width = 1] = h.shape;
      const pooled = scale(sumPixels(normalise(context, 'norm_out', h, { silu: true })), 1 / (height * width));
      return { logits: project(context, 'classifier', pooled), features: pooled };
    },
  };
}

function resolveConfig(options: ClassifierOptions): ClassifierConfig {
  const { shape, classes, channels = defaultChannels, layers = 1, dropout = 0, timeConditioned = false } = options;
  const [height, width] = shape;
  checkUNetOptions('classifier', { shape, rank: 3, channels, layers, dropout, halved: { height, width } });
  if (!Number.isSafeInteger(classes) || classes < 2) {
    throw new DiffuseError('ERR_ARGUMENT', `classifier: classes is ${classes}; it must be an integer, at least 2`);
  }
  return { shape, classes, channels, layers, dropout, timeConditioned };
}

/** The embedding of the noise level; undefined in a classifier that is told none. */
function embed(context: BlockContext, told: Condition | undefined, t: Value | undefined): Value | undefined {
  if ((told === undefined) !== (t === undefined)) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      told
        ? 'the classifier is told the noise level: give t'
        : 'the classifier is not told the noise level, but t was given',
    );
  }
  return told && t && condition(context, told, t, undefined);
}

function levels(
  context: BlockContext,
  { channels, layers }: ClassifierConfig,
  x: Value,
  time: Value | undefined,
): Value {
  let h = x;
  channels.forEach((width, level) => {
    if (level > 0) h = downsample(context, `downsamplers.${level - 1}`, h);
    for (let layer = 0; layer < layers; layer++) {
      h = resBlock(context, `levels.${level}.${layer}`, h, time, { channels: width, timeScaleShift: 'default' });
    }
  });
  return h;
}

/** In the order in which {@link levels} and its caller use them. */
function classifierParameters(config: ClassifierConfig, told: Condition | undefined): ParameterLayout[] {
  const { shape, classes, channels, layers } = config;
  const window = [3, 3] as const;
  const embedding = told?.width ?? null;
  const parameters = told ? conditionLayout(told) : [];
  let inputs = channels[0] ?? 1;
  parameters.push(...convolutionLayout('conv_in', window, shape[2], inputs));
  channels.forEach((outputs, level) => {
    if (level > 0) parameters.push(...convolutionLayout(`downsamplers.${level - 1}.conv`, window, inputs, inputs));
    for (let layer = 0; layer < layers; layer++) {
      parameters.push(...resBlockLayout(`levels.${level}.${layer}`, { kernel: window, inputs, outputs, embedding }));
      inputs = outputs;
    }
  });
  return [...parameters, ...normLayout('norm_out', inputs), ...linearLayout('classifier', inputs, classes)];
}
