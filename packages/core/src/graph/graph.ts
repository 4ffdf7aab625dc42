import { DiffuseError } from '../native/errors.ts';
import { type KernelName, type KernelTensor, kernelSignature } from '../native/kernels.ts';

/** Element type of a value. Computing is done in float32; bytes are images, integers are class indices. */
export type DType = 'f32' | 'u8' | 'i32';

/** Sizes of a value's dimensions; the last one is the channels. At most five dimensions. */
export type Shape = readonly number[];

/** A number that each run of a compiled program is given anew: the step, the learning rate, a sampler's coefficient. */
export interface Scalar {
  readonly kind: 'scalar';
  readonly name: string;
}

/** An attribute of a kernel call: fixed when the graph is built, or a scalar given at each run. */
export type Attribute = number | Scalar;

/**
 * Where a value comes from.
 *
 * - `input`: given at each run.
 * - `external`: a slice of a named buffer, which outlives the run (parameters, moments, tables) or is transient (gradients); `offset` in elements.
 * - `kernel`: an output of a node.
 * - `slice`: channels `[offset, offset + channels)` of another value, sharing its memory.
 * - `reshape`: another value with its leading dimensions regrouped, sharing its memory.
 * - `concat`: several values side by side in the channels. Their producers write into its memory, so nothing is copied.
 */
export type Source =
  | { readonly kind: 'input' }
  | { readonly kind: 'external'; readonly buffer: string; readonly offset: number }
  | { readonly kind: 'kernel'; readonly node: Node }
  | { readonly kind: 'slice'; readonly of: Value; readonly offset: number }
  | { readonly kind: 'reshape'; readonly of: Value }
  | { readonly kind: 'concat'; readonly parts: readonly Value[] };

/** A tensor in a graph: a description, not memory. Made by {@link Graph} and by the ops. */
export interface Value {
  readonly graph: Graph;
  readonly id: number;
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly source: Source;
}

/**
 * Gradient rule of an op. Given the gradients of its outputs (absent where nothing depends on an output) and asked for the
 * gradients of the inputs named in `wanted`, it emits the ops that compute them and returns them by input name.
 */
export type GradientRule = (
  outputGradients: Readonly<Record<string, Value | undefined>>,
  wanted: ReadonlySet<string>,
) => Readonly<Record<string, Value | undefined>>;

/** One kernel call of a graph. Tensors are keyed by their names in the kernel's signature. */
export interface Node {
  readonly kernel: KernelName;
  readonly name: string;
  readonly inputs: ReadonlyMap<string, Value>;
  readonly outputs: ReadonlyMap<string, Value>;
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly gradient: GradientRule | undefined;
  readonly recompute: boolean;
  readonly stopsGradient: boolean;
}

/** What {@link emit} needs to know of a kernel call. */
export interface Emission<Output extends string> {
  readonly kernel: KernelName;
  /**
   * By name: the shape of a new value, or an existing external value that the kernel changes in place. An optional output that
   * is not wanted is left out or undefined.
   */
  readonly outputs: Readonly<Record<Output, Shape | Value | undefined>>;
  /** By name; optional inputs may be undefined. */
  readonly inputs: Readonly<Record<string, Value | undefined>>;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Absent for ops that have no gradient (noise, samplers, optimizers, gradients themselves). */
  readonly gradient?: GradientRule;
  /**
   * True for ops so cheap that the backward pass computes their output again instead of keeping it in memory all the way:
   * normalisation, activation, upsampling. The backward pass then depends on the op's inputs only.
   */
  readonly recompute?: boolean;
  /** True for ops whose outputs count as constants: nothing is differentiated through them. */
  readonly stopsGradient?: boolean;
}

/**
 * A graph of typed ops, built in the order in which it will run. Ops are functions (`conv2d(x, weight, bias)`) that check
 * shapes, emit one node and return its output. Nothing is computed until the graph is compiled.
 */
export class Graph {
  readonly nodes: Node[] = [];
  /** Values that have no producing node, in order of creation. */
  readonly inputs: Value[] = [];
  readonly #scalars = new Map<string, Scalar>();
  readonly #scopes: string[] = [];
  #nextId = 0;
  /** While gradients are built: what the outputs of recomputable forward nodes are replaced by. */
  #recomputed: Map<Value, Value> | undefined;

  /**
   * A tensor that each run is given.
   *
   * @param name unique among the inputs of the graph.
   */
  input(name: string, shape: Shape, dtype: DType = 'f32'): Value {
    checkShape(name, shape);
    if (this.inputs.some((value) => value.source.kind === 'input' && value.name === name)) {
      throw new DiffuseError('ERR_ARGUMENT', `the graph already has an input named '${name}'`);
    }
    const value = this.#value(name, shape, dtype, { kind: 'input' });
    this.inputs.push(value);
    return value;
  }

  /**
   * A tensor in a device buffer that outlives the run. Which buffer a name stands for is decided when the graph is compiled, so
   * that one graph can sample from the weights or from their average.
   *
   * @param offset first element, in elements of `dtype`.
   */
  external(name: string, shape: Shape, buffer: string, offset: number, dtype: DType = 'f32'): Value {
    checkShape(name, shape);
    const value = this.#value(name, shape, dtype, { kind: 'external', buffer, offset });
    this.inputs.push(value);
    return value;
  }

  /** A number that each run is given; the same name is the same scalar. */
  scalar(name: string): Scalar {
    let scalar = this.#scalars.get(name);
    if (!scalar) {
      scalar = { kind: 'scalar', name };
      this.#scalars.set(name, scalar);
    }
    return scalar;
  }

  /** Names of the scalars, in order of first use: a run is given one number for each. */
  get scalars(): readonly string[] {
    return [...this.#scalars.keys()];
  }

  /** Runs `build`; names of nodes emitted inside begin with `name`. Errors and profiles speak in these names. */
  scope<T>(name: string, build: () => T): T {
    this.#scopes.push(name);
    try {
      return build();
    } finally {
      this.#scopes.pop();
    }
  }

  /** Emits one kernel call; returns its outputs by name. Used by ops and by nothing else. */
  emit<Output extends string>(emission: Emission<Output>): Record<Output, Value> {
    const signature = kernelSignature(emission.kernel);
    const name = [...this.#scopes, emission.kernel].join('.');
    const inputs = new Map<string, Value>();
    const outputs = new Map<string, Value>();
    const node: Node = {
      kernel: emission.kernel,
      name,
      inputs,
      outputs,
      attributes: emission.attributes ?? {},
      gradient: emission.gradient,
      recompute: emission.recompute ?? false,
      stopsGradient: emission.stopsGradient ?? false,
    };
    for (const tensor of signature.tensors) {
      const given: Shape | Value | undefined = tensor.output
        ? (emission.outputs as Record<string, Shape | Value | undefined>)[tensor.name]
        : emission.inputs[tensor.name];
      if (given === undefined) {
        if (!tensor.optional) throw new DiffuseError('ERR_ARGUMENT', `${name}: '${tensor.name}' is missing`);
        continue;
      }
      if (!tensor.output) {
        const value = this.#forBackward(given as Value);
        this.#checkInput(name, tensor.name, tensor.dtype, value);
        inputs.set(tensor.name, value);
      } else if (isValue(given)) {
        outputs.set(tensor.name, given);
      } else {
        checkShape(`${name}.${tensor.name}`, given);
        const short = signature.tensors.filter((other) => other.output).length === 1 ? name : `${name}.${tensor.name}`;
        outputs.set(tensor.name, this.#value(short, given, 'f32', { kind: 'kernel', node }));
      }
    }
    for (const attribute of signature.attributes) {
      if (node.attributes[attribute] === undefined) {
        throw new DiffuseError('ERR_ARGUMENT', `${name}: attribute '${attribute}' is missing`);
      }
    }
    this.nodes.push(node);
    return Object.fromEntries(outputs) as Record<Output, Value>;
  }

  /** A view; used by {@link sliceChannels}, {@link reshape} and {@link concatChannels}. */
  view(name: string, shape: Shape, dtype: DType, source: Source): Value {
    return this.#value([...this.#scopes, name].join('.'), shape, dtype, source);
  }

  /**
   * Runs `build` with every use of a recomputable value that exists now replaced by a second computation of it, emitted at its
   * first use. Called by `gradient`.
   */
  recomputing<T>(build: () => T): T {
    const outer = this.#recomputed;
    const boundary = this.#nextId;
    const replaced = new Map<Value, Value>();
    this.#recomputed = replaced;
    this.#recomputeBelow = boundary;
    try {
      return build();
    } finally {
      this.#recomputed = outer;
    }
  }

  #recomputeBelow = 0;

  /** The value that a backward node reads in place of `value`: itself, or its second computation. */
  #forBackward(value: Value): Value {
    const replaced = this.#recomputed;
    if (!replaced || value.id >= this.#recomputeBelow) return value;
    const known = replaced.get(value);
    if (known) return known;
    const { source } = value;
    let result = value;
    if (source.kind === 'slice' || source.kind === 'reshape') {
      const of = this.#forBackward(source.of);
      if (of !== source.of) result = this.#value(value.name, value.shape, value.dtype, { ...source, of });
    } else if (source.kind === 'kernel' && source.node.recompute) {
      const { node } = source;
      const again = this.emit({
        kernel: node.kernel,
        outputs: Object.fromEntries([...node.outputs].map(([name, output]) => [name, output.shape])),
        inputs: Object.fromEntries(node.inputs),
        attributes: node.attributes,
      });
      for (const [name, output] of node.outputs) replaced.set(output, again[name] as Value);
      return replaced.get(value) as Value;
    }
    replaced.set(value, result);
    return result;
  }

  #value(name: string, shape: Shape, dtype: DType, source: Source): Value {
    return { graph: this, id: this.#nextId++, name, shape, dtype, source };
  }

  #checkInput(node: string, tensor: string, dtype: KernelTensor['dtype'], value: Value): void {
    if (value.graph !== this) {
      throw new DiffuseError('ERR_ARGUMENT', `${node}: '${tensor}' (${value.name}) belongs to another graph`);
    }
    const expected = dtype === 'image' ? 'f32' : dtype;
    if (expected !== 'any' && value.dtype !== expected) {
      throw new DiffuseError('ERR_DTYPE', `${node}: '${tensor}' is ${value.dtype}, expected ${expected}`);
    }
  }
}

/** Emits one kernel call into the graph of its inputs; see {@link Graph.emit}. */
export function emit<Output extends string>(emission: Emission<Output>): Record<Output, Value> {
  const first = Object.values(emission.inputs).find((value) => value !== undefined);
  if (!first) throw new DiffuseError('ERR_ARGUMENT', `${emission.kernel}: no input to take the graph from`);
  return first.graph.emit(emission);
}

/**
 * Channels `[offset, offset + count)` of a value; shares its memory.
 *
 * @param value [..., C]
 * @returns [..., count]
 */
export function sliceChannels(value: Value, offset: number, count: number): Value {
  const channels = value.shape.at(-1) ?? 0;
  if (
    !(Number.isInteger(offset) && Number.isInteger(count) && offset >= 0 && count > 0 && offset + count <= channels)
  ) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `slice [${offset}, ${offset + count}) is outside the ${channels} channels of ${value.name}`,
    );
  }
  if (count === channels) return value;
  const shape = [...value.shape.slice(0, -1), count];
  return value.graph.view('slice', shape, value.dtype, { kind: 'slice', of: value, offset });
}

/**
 * The same elements with the leading dimensions regrouped; the channels stay. Shares memory.
 *
 * @param value [..., C]
 * @param shape another list of dimensions with the same product and the same last one.
 */
export function reshape(value: Value, shape: Shape): Value {
  checkShape(`reshape of ${value.name}`, shape);
  if (elementCount(shape) !== elementCount(value.shape) || shape.at(-1) !== value.shape.at(-1)) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `cannot reshape ${value.name} from ${shapeText(value.shape)} to ${shapeText(shape)}: the channels and the number of elements must stay`,
    );
  }
  return value.graph.view('reshape', shape, value.dtype, { kind: 'reshape', of: value });
}

/**
 * Values side by side in the channels: [..., C1], [..., C2] → [..., C1 + C2]. Where the planner can, the parts are computed
 * straight into the result and nothing is copied.
 */
export function concatChannels(parts: readonly Value[]): Value {
  const [first] = parts;
  if (!first) throw new DiffuseError('ERR_ARGUMENT', 'concatChannels needs at least one value');
  const rows = shapeText(first.shape.slice(0, -1));
  for (const part of parts) {
    if (shapeText(part.shape.slice(0, -1)) !== rows || part.dtype !== first.dtype) {
      throw new DiffuseError(
        'ERR_SHAPE',
        `concatChannels: ${part.name} is ${shapeText(part.shape)}, ${first.name} is ${shapeText(first.shape)}; all but the channels must agree`,
      );
    }
  }
  if (parts.length === 1) return first;
  const shape = [...first.shape.slice(0, -1), parts.reduce((sum, part) => sum + (part.shape.at(-1) ?? 0), 0)];
  return first.graph.view('concat', shape, first.dtype, { kind: 'concat', parts });
}

/** Number of elements of a shape; 1 for []. */
export function elementCount(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A shape as people write it: `[16, 32, 32, 3]`. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** Throws `ERR_SHAPE` unless both shapes are equal. */
export function expectShape(what: string, actual: Shape, expected: Shape): void {
  if (actual.length !== expected.length || actual.some((size, i) => size !== expected[i])) {
    throw new DiffuseError('ERR_SHAPE', `${what} has shape ${shapeText(actual)}, expected ${shapeText(expected)}`);
  }
}

function isValue(given: Shape | Value): given is Value {
  return !Array.isArray(given);
}

function checkShape(name: string, shape: Shape): void {
  if (shape.length < 1 || shape.length > 5 || shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
    throw new DiffuseError(
      'ERR_SHAPE',
      `${name}: ${shapeText(shape)} is no shape: 1 to 5 dimensions, each a positive integer`,
    );
  }
}
