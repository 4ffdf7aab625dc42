import { kernelSignature } from '../native/kernels.ts';
import type { DType, Node, Value } from './graph.ts';

/** How the elements of a value lie in memory. */
export type StorageType = DType | 'bf16';

/** Nodes that agree on how their images lie in memory. */
export interface Storage {
  readonly nodes: readonly Node[];
  /** How a value, or what a view shows, is stored. */
  readonly storageOf: (value: Value) => StorageType;
}

/**
 * An image of fewer channels stays float32. Such are the pixels that go into a model, its prediction and their gradients: they take
 * next to no memory, and what is computed of them outside the network (guidance, losses, samplers) shall not be rounded on the way.
 */
const leastChannels = 16;

/** What has fewer dimensions, seen by whatever call, is no image but a vector for each sample. */
const leastRank = 3;

/** Every value as the graph has it. */
export function storeAsComputed(nodes: readonly Node[]): Storage {
  return { nodes, storageOf: ({ dtype }) => dtype };
}

/**
 * Decides which images are stored as bf16, half as large as float32, and makes the images of each kernel call agree.
 *
 * A value is stored as bf16 if
 *
 * - a kernel of this program computes it, and every call sees it with three dimensions or more: weights, time embeddings and all that
 *   outlives the run stay float32;
 * - it is no root, so that nobody outside reads it;
 * - every kernel that writes or reads it takes images of either format there (`:image` in the kernel's signature): statistics and
 *   losses stay float32;
 * - it has 16 channels or more;
 * - some call has two such images: one alone among float32 images would only be cast to and fro.
 *
 * What shares memory shares the format: a view is stored as what it shows, and all parts of a concatenation are as the whole. One part
 * that cannot be bf16 keeps all of them float32; the channels that count are those of the widest.
 *
 * A call that has any image in bf16 has all of them in bf16. Where one of the others is float32, a `cast` stands between: before the
 * call where it is read (one for all its readers), after it where it is written. These are the images of few channels at the ends of
 * a network: what the first convolution reads, what the last one writes, and the gradient of that.
 *
 * @param nodes what is to be run, in order.
 * @param roots values that are read from outside.
 */
export function storeImages(nodes: readonly Node[], roots: readonly Value[]): Storage {
  const bf16 = chooseValues(nodes, roots);
  const storageOf = (value: Value): StorageType => {
    const leaf = leafOf(value);
    return bf16.has(leaf) ? 'bf16' : leaf.dtype;
  };
  /** The bf16 twin of each float32 image that has one by now. */
  const twins = new Map<Value, Value>();
  const agreed: Node[] = [];
  for (const node of nodes) {
    const images = tensorsOf(node).filter(({ isImage }) => isImage);
    if (!images.some(({ value }) => storageOf(value) === 'bf16')) {
      agreed.push(node);
      continue;
    }
    const inputs = new Map(node.inputs);
    const outputs = new Map(node.outputs);
    const after: Node[] = [];
    for (const { name, value, isOutput } of images) {
      if (storageOf(value) === 'bf16') continue;
      const known = isOutput ? undefined : twins.get(value);
      const twin = known ?? { ...value, name: `${value.name} as bf16`, source: { kind: 'kernel', node } };
      if (isOutput) after.push(moveNode('cast', twin, value));
      else if (!known) agreed.push(moveNode('cast', value, twin));
      bf16.add(twin);
      // What lies in a device buffer may change before it is read again.
      if (leafOf(value).source.kind !== 'external') twins.set(value, twin);
      (isOutput ? outputs : inputs).set(name, twin);
    }
    agreed.push({ ...node, inputs, outputs }, ...after);
  }
  return { nodes: agreed, storageOf };
}

/** One kernel call that moves a value: `copy`, or `cast` to the other format. */
export function moveNode(kernel: 'copy' | 'cast', from: Value, to: Value): Node {
  return {
    kernel,
    name: `${kernel} of ${from.name}`,
    inputs: new Map([['x', from]]),
    outputs: new Map([['y', to]]),
    attributes: {},
    gradient: undefined,
    recompute: false,
    stopsGradient: false,
  };
}

/** What a value, or a view, shows first; all that it shows is stored alike. */
function leafOf(value: Value): Value {
  const { source } = value;
  if (source.kind === 'slice' || source.kind === 'reshape') return leafOf(source.of);
  const [first] = source.kind === 'concat' ? source.parts : [];
  return first ? leafOf(first) : value;
}

/** The tensors of a node, in the order of the kernel's signature. */
function tensorsOf(node: Node): { name: string; value: Value; isImage: boolean; isOutput: boolean }[] {
  return kernelSignature(node.kernel).tensors.flatMap(({ name, dtype, output: isOutput }) => {
    const value = (isOutput ? node.outputs : node.inputs).get(name);
    return value ? [{ name, value, isImage: dtype === 'image', isOutput }] : [];
  });
}

/** Values that share memory, and what is known of them all. */
interface Group {
  members: Value[];
  /** Every value and every use of it can be bf16. */
  fits: boolean;
  channels: number;
  /** Some call has another image that can be bf16. */
  meets: boolean;
}

/** The values with memory of their own that are stored as bf16. */
function chooseValues(nodes: readonly Node[], roots: readonly Value[]): Set<Value> {
  const groups = new Map<Value, Group>();
  const groupOf = (value: Value): Group => {
    const known = groups.get(value);
    if (known) return known;
    const { source, shape, dtype } = value;
    if (source.kind === 'slice' || source.kind === 'reshape') return groupOf(source.of);
    const fits = source.kind === 'concat' || (source.kind === 'kernel' && dtype === 'f32');
    const group = { members: [value], fits, channels: shape.at(-1) ?? 0, meets: false };
    groups.set(value, group);
    if (source.kind === 'concat') for (const part of source.parts) merge(group, groupOf(part));
    return group;
  };
  const merge = (into: Group, other: Group): void => {
    if (into === other) return;
    into.members.push(...other.members);
    into.fits &&= other.fits;
    into.channels = Math.max(into.channels, other.channels);
    for (const member of other.members) groups.set(member, into);
  };

  for (const root of roots) groupOf(root).fits = false;
  for (const node of nodes) {
    for (const { value, isImage } of tensorsOf(node)) {
      const group = groupOf(value);
      if (!isImage || value.shape.length < leastRank) group.fits = false;
    }
  }
  const large = (value: Value): boolean => groupOf(value).fits && groupOf(value).channels >= leastChannels;
  for (const node of nodes) {
    const images = new Set(tensorsOf(node).flatMap(({ value, isImage }) => (isImage && large(value) ? [value] : [])));
    if (images.size > 1) for (const image of images) groupOf(image).meets = true;
  }
  return new Set([...groups.keys()].filter((value) => large(value) && groupOf(value).meets));
}
