import { concatChannels, expectShape, reshape, type Value } from '../graph/graph.ts';
import { attentionBlock } from './blocks/attention-block.ts';
import { type ClassOptions, condition, conditionLayout, resolveClasses } from './blocks/condition.ts';
import { type BlockContext, blockContext, convolution, groupsFor, normalise } from './blocks/layers.ts';
import { attentionLayout, convolutionLayout, normLayout, resBlockLayout } from './blocks/layouts.ts';
import { type PortOptions, portChannels, resolvePorts, withEstimate } from './blocks/ports.ts';
import { resBlock } from './blocks/res-block.ts';
import { downsample, upsampleSignal } from './blocks/resample.ts';
import { type UNetParts, type UNetSizes, unetTopology } from './blocks/unet-topology.ts';
import type { Model, NullClass } from './model.ts';
import type { ParameterLayout } from './parameter-layout.ts';
import { checkUNetOptions, embeddingOf } from './unet-options.ts';

/** Options of {@link unet1d}. */
export interface UNet1DOptions<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends ClassOptions<Classes, Null>,
    PortOptions<Learned> {
  /** Length and channels of a signal; the length is a multiple of 2^(levels - 1). */
  readonly shape: readonly [length: number, channels: number];
  /** Channels of each level, the finest first, each even. */
  readonly channels?: readonly number[];
  /** Residual blocks a level. */
  readonly layers?: number;
  /** Self-attention at the coarsest level. */
  readonly attention?: boolean;
  /** Share of activations dropped while training. */
  readonly dropout?: number;
}

/** All options of a U-Net for signals, the defaults filled in. */
export type UNet1DConfig = Required<UNet1DOptions>;

/** A network for signals; {@link unet1d} makes one. */
export interface UNet1D<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends Model {
  readonly kind: 'unet1d';
  readonly config: UNet1DConfig;
  readonly shape: readonly [length: number, channels: number];
  readonly classes: Classes;
  readonly nullClass: NullClass<Null>;
  readonly learnedVariance: Learned;
}

/** Height and width of the kernels: they run along the signal. */
const alongSignal = [1, 3] as const;

/**
 * A U-Net for signals: audio, robot trajectories, anything of one dimension. A signal [N, L, C] is seen as an image [N, 1, L, C] one
 * pixel high, so the blocks and kernels of images serve it, with windows of 1x3. As in Janner et al. 2022 (arXiv:2205.09991),
 * section 3.1, with the blocks of Ho et al. 2020.
 *
 * @example
 * const model = unet1d({ shape: [128, 2], channels: [32, 64, 128] });
 *
 * @throws `ERR_ARGUMENT` naming the option that does not fit.
 */
export function unet1d<
  Classes extends number | null = null,
  Null extends boolean = false,
  Learned extends boolean = false,
>(options: UNet1DOptions<Classes, Null, Learned>): UNet1D<Classes, Null, Learned> {
  const { shape } = options;
  const [length, channels] = shape;
  const sizes = signalSizes(options);
  checkUNetOptions('unet1d', { ...sizes, shape, rank: 2, halved: { length } });
  const { classes, nullClass, classRows } = resolveClasses(options);
  const ports = resolvePorts(options);
  const { forward, parameters } = signalNetwork({ ...sizes, length, ...portChannels(channels, ports), classRows });
  return {
    kind: 'unet1d',
    config: { shape: [length, channels], ...sizes, classes, nullClass: nullClass !== null, ...ports },
    shape: [length, channels],
    classes,
    nullClass,
    ...ports,
    frozen: new Set(),
    weights: undefined,
    parameters,
    forward: ({ x, estimate, ...told }) => forward({ x: withEstimate(x, estimate, ports), ...told }),
  };
}

/** The options of {@link unet1d} that say how large the network is, with their defaults. */
export function signalSizes({
  channels = [32, 64, 64],
  layers = 1,
  attention = false,
  dropout = 0,
}: Pick<UNet1DOptions, 'channels' | 'layers' | 'attention' | 'dropout'>): Required<
  Pick<UNet1DOptions, 'channels' | 'layers' | 'attention' | 'dropout'>
> {
  return { channels, layers, attention, dropout };
}

/**
 * The network of {@link unet1d}, with as many channels going in and coming out as asked for.
 *
 * @returns `forward` takes x float32 [N, length, inputs] and returns float32 [N, length, outputs].
 */
export function signalNetwork({
  length,
  inputs,
  outputs,
  channels,
  layers,
  attention,
  dropout,
  classRows,
}: ReturnType<typeof signalSizes> & {
  readonly length: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Rows of the table of classes; null: none. */
  readonly classRows: number | null;
}): Pick<Model, 'parameters' | 'forward'> {
  const told = embeddingOf(channels, classRows);
  const sizes = { channels, layers };
  const [first = 1] = channels;
  return {
    parameters: [
      ...conditionLayout(told),
      ...convolutionLayout('conv_in', alongSignal, inputs, first),
      ...levelLayouts(sizes, told.width, attention),
      ...normLayout('conv_norm_out', first),
      ...convolutionLayout('conv_out', alongSignal, first, outputs),
    ],
    forward({ x, t, labels, parameter, randomness }) {
      const batch = x.shape[0] ?? 0;
      expectShape('the input of the 1-D U-Net', x.shape, [batch, length, inputs]);
      const context = blockContext({ parameter, randomness, dropout, groups: groupsFor(channels) });
      const embedding = condition(context, told, t, labels);
      const signal = convolution(context, 'conv_in', reshape(x, [batch, 1, length, inputs]));
      const h = unetTopology(sizes, signalParts(context, embedding, attention), signal);
      const out = convolution(context, 'conv_out', normalise(context, 'conv_norm_out', h, { silu: true }));
      return reshape(out, [batch, length, outputs]);
    },
  };
}

/** The levels as values; x is float32 [N, 1, L, C]. */
function signalParts(context: BlockContext, embedding: Value, attention: boolean): UNetParts<Value> {
  return {
    block: (name, x, channels) => resBlock(context, name, x, embedding, { channels, timeScaleShift: 'default' }),
    middle: (x) => (attention ? attentionBlock(context, 'mid_block.attention', x, { headChannels: null }) : x),
    down: (name, x) => downsample(context, name, x),
    up: (name, x) => upsampleSignal(context, name, x),
    concat: (a, b) => concatChannels([a, b]),
  };
}

/** The parameters of the levels, in the order in which {@link signalParts} uses them. */
function levelLayouts(sizes: UNetSizes, embedding: number, attention: boolean): ParameterLayout[] {
  const parameters: ParameterLayout[] = [];
  const resample = (name: string, channels: number): number => {
    parameters.push(...convolutionLayout(`${name}.conv`, alongSignal, channels, channels));
    return channels;
  };
  const parts: UNetParts<number> = {
    block(name, inputs, outputs) {
      parameters.push(...resBlockLayout(name, { kernel: alongSignal, inputs, outputs, embedding }));
      return outputs;
    },
    middle(channels) {
      if (attention) parameters.push(...attentionLayout('mid_block.attention', channels));
      return channels;
    },
    down: resample,
    up: resample,
    concat: (a, b) => a + b,
  };
  unetTopology(sizes, parts, sizes.channels[0] ?? 1);
  return parameters;
}
