import type { KernelName } from '../native/kernels.ts';
import type { Attribute, Graph, Node, Value } from './graph.ts';
import { concatChannels } from './graph.ts';
import { momentChunks } from './ops/group-norm.ts';

/**
 * Merges ops that one kernel can do in passing, so that images are written and read less often:
 *
 * - a convolution adds the time embedding to what it writes, and takes its moments;
 * - a convolution, a linear map or the data gradient of either adds a residual, or another gradient, to what it writes;
 * - a convolution normalises and activates what it reads, forward and in its weight gradient;
 * - a data gradient passes through the activation that it leads to;
 * - gradients of convolutions read dx of a normalisation as what it is made of, dz and x; where dx is one term of a sum, the sum is
 *   taken as dx is written.
 *
 * Models stay plain topology, and the result is that of the separate ops up to rounding (a test compares them). Nodes that are left
 * without use are not removed here.
 *
 * @param nodes what is to be run, in order.
 * @param roots values that are read from outside.
 */
export function fuse(graph: Graph, nodes: readonly Node[], roots: readonly Value[]): Node[] {
  const work = new FusionList(graph, nodes, roots);
  for (const node of work.all('add_channels')) fuseShift(work, node);
  for (const node of work.all('add')) fuseResidual(work, node);
  fuseMoments(work);
  for (const node of work.all('normalise_forward')) fuseNormalisation(work, node);
  for (const node of work.all('normalise_backward')) fuseActivationGradient(work, node);
  for (const node of work.all('normalise_gradient')) fuseNormalisationGradient(work, node);
  return work.nodes();
}

/** One tensor of one node. */
interface Use {
  readonly node: Node;
  readonly tensor: string;
}

/** A list of nodes that changes, with an index of who makes and who reads each value. */
class FusionList {
  readonly graph: Graph;
  /** Where each node stands; fractions leave room for new ones. */
  readonly #places = new Map<Node, number>();
  readonly #makers = new Map<Value, Node>();
  readonly #uses = new Map<Value, Use[]>();
  readonly #roots: ReadonlySet<Value>;
  /** Values that are seen through views too. */
  readonly #viewed = new Set<Value>();

  constructor(graph: Graph, nodes: readonly Node[], roots: readonly Value[]) {
    this.graph = graph;
    this.#roots = new Set(roots);
    for (const root of roots) this.#see(root);
    nodes.forEach((node, place) => {
      this.#add(node, place);
    });
  }

  nodes(): Node[] {
    return [...this.#places].sort(([, a], [, b]) => a - b).map(([node]) => node);
  }

  /** Nodes of a kernel, in order; those that have gone when their turn comes are left out. */
  *all(kernel: KernelName): Generator<Node> {
    for (const node of this.nodes()) if (node.kernel === kernel && this.#places.has(node)) yield node;
  }

  /** The node that computes a value, if it is of this kernel. */
  maker(value: Value | undefined, kernel: KernelName): Node | undefined {
    const node = value && this.#makers.get(value);
    return node?.kernel === kernel ? node : undefined;
  }

  /** Who reads a value; undefined where the nodes alone do not say: it is a result, or seen through a view. */
  uses(value: Value): readonly Use[] | undefined {
    if (this.#roots.has(value) || this.#viewed.has(value)) return undefined;
    return this.#uses.get(value) ?? [];
  }

  /** Whether only one tensor of one node reads a value. */
  readOnce(value: Value): boolean {
    return this.uses(value)?.length === 1;
  }

  /** Puts another node in the place of one. */
  replace(node: Node, by: Node): void {
    const place = this.#remove(node);
    this.#add(by, place);
  }

  remove(node: Node): void {
    this.#remove(node);
  }

  insertBefore(node: Node, added: Node): void {
    this.#add(added, (this.#places.get(node) as number) - 0.5);
  }

  #add(node: Node, place: number): void {
    this.#places.set(node, place);
    for (const value of node.outputs.values()) this.#makers.set(value, node);
    for (const [tensor, value] of node.inputs) {
      const uses = this.#uses.get(value);
      if (uses) uses.push({ node, tensor });
      else this.#uses.set(value, [{ node, tensor }]);
      this.#see(value);
    }
  }

  #remove(node: Node): number {
    const place = this.#places.get(node) as number;
    this.#places.delete(node);
    for (const value of node.outputs.values()) if (this.#makers.get(value) === node) this.#makers.delete(value);
    for (const value of node.inputs.values()) {
      const uses = this.#uses.get(value)?.filter((use) => use.node !== node);
      if (uses) this.#uses.set(value, uses);
    }
    return place;
  }

  #see({ source }: Value): void {
    const parts = source.kind === 'slice' || source.kind === 'reshape' ? [source.of] : [];
    for (const part of source.kind === 'concat' ? source.parts : parts) {
      this.#viewed.add(part);
      this.#see(part);
    }
  }
}

/** A node with other tensors or attributes. */
function changed(
  node: Node,
  inputs: Readonly<Record<string, Value | undefined>>,
  outputs: Readonly<Record<string, Value>> = {},
  attributes: Readonly<Record<string, Attribute>> = {},
): Node {
  const all = new Map(node.inputs);
  for (const [name, value] of Object.entries(inputs)) {
    if (value) all.set(name, value);
    else all.delete(name);
  }
  return {
    ...node,
    inputs: all,
    outputs: new Map([...node.outputs, ...Object.entries(outputs)]),
    attributes: { ...node.attributes, ...attributes },
  };
}

const input = (node: Node, name: string): Value => node.inputs.get(name) as Value;
const output = (node: Node, name: string): Value => node.outputs.get(name) as Value;

/** What a convolution is given to normalise x in passing. */
const normTensors = (node: Node): Record<string, Value> =>
  Object.fromEntries(['x', 'mean', 'rstd', 'gamma', 'beta'].map((name) => [name, input(node, name)]));

/** `y = conv(x)`, `z = y + t` → `z = conv(x) + t`. */
function fuseShift(work: FusionList, node: Node): void {
  const y = input(node, 'x');
  const convolution = work.maker(y, 'conv2d_forward');
  if (!convolution || !work.readOnce(y)) return;
  work.remove(convolution);
  work.replace(node, changed(convolution, { shift: input(node, 't') }, { y: output(node, 'y') }));
}

/** Kernels that can add an image to what they write, and their output. */
const adders = {
  conv2d_forward: 'y',
  conv2d_data_gradient: 'dx',
  linear_forward: 'y',
  linear_data_gradient: 'dx',
} as const satisfies Partial<Record<KernelName, string>>;

/** `y = product(x)`, `z = a + y` → `z = product(x) + a`; y may be either term. */
function fuseResidual(work: FusionList, node: Node): void {
  if (node.attributes.alpha !== 1 || node.attributes.beta !== 1) return;
  for (const [term, other] of [
    ['b', 'a'],
    ['a', 'b'],
  ] as const) {
    for (const [kernel, result] of Object.entries(adders)) {
      const y = input(node, term);
      const product = work.maker(y, kernel as keyof typeof adders);
      if (!product || product.inputs.has('residual') || product.inputs.has('x') !== kernel.endsWith('forward'))
        continue;
      if (!work.readOnce(y)) continue;
      work.remove(product);
      work.replace(node, changed(product, { residual: input(node, other) }, { [result]: output(node, 'y') }));
      return;
    }
  }
}

/** Convolutions take the moments of what they write; those of a concatenation are those of its parts. */
function fuseMoments(work: FusionList): void {
  const known = new Map<Value, Value>();
  const newValue = (node: Node, of: Value): Value =>
    work.graph.view(`${of.name}.moments`, momentChunks(of.shape).moments, 'f32', { kind: 'kernel', node });
  const momentsOf = (value: Value, before: Node): Value => {
    const found = known.get(value);
    if (found) return found;
    const { source } = value;
    const convolution = work.maker(value, 'conv2d_forward');
    let moments: Value;
    if (source.kind === 'concat') {
      moments = concatChannels(source.parts.map((part) => momentsOf(part, before)));
    } else if (convolution && value.shape.length === 4) {
      moments = newValue(convolution, value);
      work.replace(convolution, changed(convolution, {}, { moments }));
    } else {
      moments = newValue(before, value);
      work.insertBefore(before, {
        ...before,
        inputs: new Map([['x', value]]),
        outputs: new Map([['moments', moments]]),
        attributes: { chunk: momentChunks(value.shape).chunk },
      });
    }
    known.set(value, moments);
    return moments;
  };
  for (const node of work.all('channel_moments')) {
    const uses = work.uses(output(node, 'moments'));
    const x = input(node, 'x');
    if (!uses || node.attributes.chunk !== momentChunks(x.shape).chunk) continue;
    const moments = momentsOf(x, node);
    for (const use of uses) work.replace(use.node, changed(use.node, { [use.tensor]: moments }));
    work.remove(node);
  }
}

/** `y = normalise(x)`, `conv(y)` → `conv(x)` that normalises as it reads. */
function fuseNormalisation(work: FusionList, node: Node): void {
  const uses = work.uses(output(node, 'y'));
  const readers: readonly KernelName[] = ['conv2d_forward', 'conv2d_weight_gradient'];
  if (!uses?.every((use) => use.tensor === 'x' && readers.includes(use.node.kernel))) return;
  const tensors = normTensors(node);
  for (const use of uses) {
    work.replace(use.node, changed(use.node, tensors, {}, { silu: node.attributes.silu ?? 0 }));
  }
  work.remove(node);
}

/** `dy = conv gradient`, `dz, sums = normalise_backward(dy)` → a convolution's gradient that writes dz. */
function fuseActivationGradient(work: FusionList, node: Node): void {
  const dy = input(node, 'dy');
  const convolution = work.maker(dy, 'conv2d_data_gradient');
  if (convolution?.inputs.has('residual')) return;
  const dz = node.outputs.get('dz');
  if (!convolution || dy.shape.length !== 4 || (dz && !work.readOnce(dy))) return;
  const tensors = normTensors(node);
  work.remove(convolution);
  work.replace(
    node,
    changed(convolution, tensors, { dx: dz ?? dy, sums: output(node, 'sums') }, { silu: node.attributes.silu ?? 0 }),
  );
}

/** dx of a normalisation is read as what it is made of, or written together with what is added to it. */
function fuseNormalisationGradient(work: FusionList, node: Node): void {
  const dx = output(node, 'dx');
  const uses = work.uses(dx);
  if (!uses) return;
  const [only] = uses;
  if (uses.length === 1 && only?.node.kernel === 'add') {
    const { alpha, beta } = only.node.attributes;
    if (alpha !== 1 || beta !== 1) return;
    const addend = input(only.node, only.tensor === 'a' ? 'b' : 'a');
    work.remove(node);
    work.replace(only.node, changed(node, { addend }, { dx: output(only.node, 'y') }));
    return;
  }
  const coefficients = input(node, 'coefficients');
  const statistics = work.maker(coefficients, 'group_norm_gradient');
  const forward = statistics && work.maker(statistics.inputs.get('mean'), 'group_norm_statistics');
  const convertible = ({ node: reader, tensor }: Use): boolean =>
    (tensor === 'dy' && (reader.kernel === 'conv2d_weight_gradient' || reader.kernel === 'conv2d_data_gradient')) ||
    (reader.kernel === 'sum_pixels' && forward !== undefined);
  if (!uses.every(convertible)) return;
  for (const { node: reader } of uses) {
    if (reader.kernel === 'sum_pixels') {
      // The sum of dx follows from the sums of dz and the moments of x.
      const owner = work.maker(coefficients, 'group_norm_gradient') as Node;
      const moments = input(forward as Node, 'moments');
      const chunk = (forward as Node).attributes.chunk ?? 1;
      work.replace(owner, changed(owner, { moments }, { pixelSums: output(reader, 'y') }, { chunk }));
      work.remove(reader);
    } else {
      work.replace(reader, changed(reader, { dy: input(node, 'dz'), normalised: input(node, 'x'), coefficients }));
    }
  }
  work.remove(node);
}
