import { expectShape, type Value } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';
import { silu } from '../graph/ops/silu.ts';
import { DiffuseError } from '../native/errors.ts';
import { type ClassOptions, condition, conditionLayout, resolveClasses } from './blocks/condition.ts';
import { type LayerContext, project } from './blocks/layers.ts';
import { linearLayout } from './blocks/layouts.ts';
import { type PortOptions, portChannels, resolvePorts, withEstimate } from './blocks/ports.ts';
import type { Model, NullClass } from './model.ts';

/** Options of {@link mlp}. */
export interface MlpOptions<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends ClassOptions<Classes, Null>,
    PortOptions<Learned> {
  /** Numbers of a sample: [2] for points in the plane. */
  readonly shape: readonly [channels: number];
  /** Width of the hidden layers, an even number. */
  readonly width?: number;
  /** Number of residual blocks. */
  readonly layers?: number;
}

/** All options of an MLP, the defaults filled in. */
export type MlpConfig = Required<MlpOptions>;

/** A network for vectors; {@link mlp} makes one. */
export interface Mlp<
  Classes extends number | null = number | null,
  Null extends boolean = boolean,
  Learned extends boolean = boolean,
> extends Model {
  readonly kind: 'mlp';
  readonly config: MlpConfig;
  readonly shape: readonly [channels: number];
  readonly classes: Classes;
  readonly nullClass: NullClass<Null>;
  readonly learnedVariance: Learned;
}

/**
 * A residual network for vectors: points in the plane, poses, latent codes. Each block is
 * `h + W2 silu(W1 silu(h) + V silu(e))`, e the embedding of the timestep and the class; there is no normalisation, so the length of a
 * vector, which says how noisy it is, reaches every block.
 *
 * @example
 * const model = mlp({ shape: [2], width: 128, layers: 4 });
 *
 * @throws `ERR_ARGUMENT` naming the option that does not fit.
 */
export function mlp<
  Classes extends number | null = null,
  Null extends boolean = false,
  Learned extends boolean = false,
>({ shape, width = 128, layers = 3, ...told }: MlpOptions<Classes, Null, Learned>): Mlp<Classes, Null, Learned> {
  const [channels] = shape;
  for (const [name, size] of Object.entries({ 'shape[0]': channels, width, layers })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new DiffuseError('ERR_ARGUMENT', `mlp: ${name} is ${size}; it must be a positive integer`);
    }
  }
  if (shape.length !== 1) {
    throw new DiffuseError('ERR_ARGUMENT', `mlp: shape is [${shape.join(', ')}]; it must be one number, of channels`);
  }
  if (width % 2 !== 0) {
    throw new DiffuseError('ERR_ARGUMENT', `mlp: width is ${width}; it must be even: half sines, half cosines`);
  }
  const { classes, nullClass, classRows } = resolveClasses(told);
  const ports = resolvePorts(told);
  const { inputs, outputs } = portChannels(channels, ports);
  const embedding = { sinusoids: width, width, classRows };
  const blocks = Array.from({ length: layers }, (_, i) => `blocks.${i}`);
  return {
    kind: 'mlp',
    config: { shape: [channels], width, layers, classes, nullClass: nullClass !== null, ...ports },
    shape: [channels],
    classes,
    nullClass,
    ...ports,
    frozen: new Set(),
    weights: undefined,
    parameters: [
      ...linearLayout('input', inputs, width),
      ...conditionLayout(embedding),
      ...blocks.flatMap((name) =>
        ['linear_1', 'time_proj', 'linear_2'].flatMap((layer) => linearLayout(`${name}.${layer}`, width, width)),
      ),
      ...linearLayout('output', width, outputs),
    ],
    forward({ x, t, labels, estimate, parameter }) {
      expectShape('the input of the MLP', x.shape, [x.shape[0] ?? 0, channels]);
      const context = { parameter };
      const told = silu(condition(context, embedding, t, labels));
      let h = project(context, 'input', withEstimate(x, estimate, ports));
      for (const name of blocks) h = residual(context, name, h, told);
      return project(context, 'output', silu(h));
    },
  };
}

/** One block of {@link mlp}; h and told are float32 [N, width]. */
function residual(context: LayerContext, name: string, h: Value, told: Value): Value {
  return h.graph.scope(name, () => {
    const inner = add(project(context, `${name}.linear_1`, silu(h)), project(context, `${name}.time_proj`, told));
    return add(h, project(context, `${name}.linear_2`, silu(inner)));
  });
}
