import type { Value } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { embedding } from '../../graph/ops/embedding.ts';
import { silu } from '../../graph/ops/silu.ts';
import { timeEmbedding } from '../../graph/ops/time-embedding.ts';
import { DiffuseError } from '../../native/errors.ts';
import type { NullClass } from '../model.ts';
import type { ParameterLayout } from '../parameter-layout.ts';
import { type LayerContext, project } from './layers.ts';
import { linearLayout, plainLayout } from './layouts.ts';

/** What a network is told beside the data, and how wide it is told. */
export interface Condition {
  /** Sinusoids of the timestep, an even number. */
  readonly sinusoids: number;
  /** Width of the embedding that the blocks see. */
  readonly width: number;
  /** Rows of the table of classes, the null class included; null: the network is not told a class. */
  readonly classRows: number | null;
}

/** The part of a model's options that says what it is told; a model's type remembers it. */
export interface ClassOptions<Classes extends number | null = number | null, Null extends boolean = boolean> {
  /** Number of classes to condition on; null or absent for an unconditional model. */
  readonly classes?: Classes;
  /** Adds the null class, `classes`: one more row of the table of classes, for classifier-free guidance. */
  readonly nullClass?: Null;
}

/**
 * What {@link ClassOptions} mean for a model.
 *
 * @throws `ERR_ARGUMENT` when there is a null class but no class, or the number of classes is no positive integer.
 */
export function resolveClasses<Classes extends number | null, Null extends boolean>(
  options: ClassOptions<Classes, Null>,
): { readonly classes: Classes; readonly nullClass: NullClass<Null>; readonly classRows: number | null } {
  const { classes, nullClass, classRows } = rowsOf(options);
  return { classes: classes as Classes, nullClass: nullClass as NullClass<Null>, classRows };
}

function rowsOf({ classes = null, nullClass = false }: ClassOptions): {
  readonly classes: number | null;
  readonly nullClass: number | null;
  readonly classRows: number | null;
} {
  if (classes === null) {
    if (nullClass) {
      throw new DiffuseError('ERR_ARGUMENT', 'nullClass is true, but the model is not told a class: give classes');
    }
    return { classes, nullClass: null, classRows: null };
  }
  if (!Number.isSafeInteger(classes) || classes < 1) {
    throw new DiffuseError('ERR_ARGUMENT', `classes is ${classes}; it must be a positive integer, or null for none`);
  }
  return { classes, nullClass: nullClass ? classes : null, classRows: classes + Number(nullClass) };
}

/** Parameters of {@link condition}. */
export function conditionLayout({ sinusoids, width, classRows }: Condition): ParameterLayout[] {
  return [
    ...linearLayout('time_embedding.linear_1', sinusoids, width),
    ...linearLayout('time_embedding.linear_2', width, width),
    ...(classRows === null ? [] : [plainLayout('class_embedding.weight', classRows, width)]),
  ];
}

/**
 * Embedding of what a network is told: sinusoids of the timestep through a two-layer network (Ho et al. 2020, appendix B), plus a row
 * of the table of classes.
 *
 * @param t float32 [N]
 * @param labels int32 [N], for conditional models
 * @returns float32 [N, width]
 * @throws `ERR_ARGUMENT` when labels are missing, or given to an unconditional model.
 */
export function condition(
  context: LayerContext,
  { sinusoids, classRows }: Condition,
  t: Value,
  labels: Value | undefined,
): Value {
  if ((classRows !== null) !== (labels !== undefined)) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      labels ? 'the model is not told a class, but labels were given' : 'the model is told a class: give labels',
    );
  }
  return t.graph.scope('condition', () => {
    const waves = timeEmbedding(t, { dimension: sinusoids });
    const time = project(context, 'time_embedding.linear_2', silu(project(context, 'time_embedding.linear_1', waves)));
    return labels ? add(time, embedding(context.parameter('class_embedding.weight'), labels)) : time;
  });
}
