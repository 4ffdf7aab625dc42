import { DiffuseError } from '../native/errors.ts';
import {
  alignment,
  type Block,
  bytesPerElement,
  largestLive,
  type Placement,
  pack,
  transientRegions,
  type Written,
} from './arena.ts';
import { fuse } from './fuse.ts';
import { elementCount, type Graph, type Node, shapeText, type Value } from './graph.ts';
import { moveNode, type StorageType, storeAsComputed, storeImages } from './storage.ts';

/** Where a value lies: in the arena or in a named device buffer. */
export interface Location {
  /** Name of a device buffer; undefined is the arena. */
  readonly buffer: string | undefined;
  readonly byteOffset: number;
  /** Elements between consecutive rows. */
  readonly rowStride: number;
}

/** What a graph becomes before it is handed to a device: an order of calls and a place for every value. */
export interface Plan {
  readonly nodes: readonly Node[];
  readonly locate: (value: Value) => Location;
  /** How the elements of a value lie in memory. */
  readonly storageOf: (value: Value) => StorageType;
  /** Size of the arena that holds everything that lives within one run. */
  readonly arenaBytes: number;
  /** Least possible arena: the largest sum of sizes alive at one moment. */
  readonly liveBytes: number;
}

/** How {@link plan} goes about it. */
export interface PlanOptions {
  /** False leaves every node a call of its own; default true. */
  readonly fused?: boolean | undefined;
  /** How images may be stored; `bf16` halves those that can be ({@link storeImages}). Default `f32`. */
  readonly images?: 'f32' | 'bf16' | undefined;
  /**
   * Buffers that nobody else sees, by name, with their elements (float32): they lie in the arena, and what is in them takes room only
   * from when it is written to when it is read last. Elements that the graph writes nowhere are 0.
   */
  readonly transient?: Readonly<Record<string, number>> | undefined;
}

/**
 * Plans calls and memory: decides which nodes are needed, merges those that one kernel can do in passing ({@link fuse}), chooses the
 * format in which each image is stored ({@link storeImages}), gives values that are parts of a concatenation a place inside it, finds
 * out how long each block of memory is alive and packs the blocks into one arena.
 *
 * @param outputs values that are read after the run.
 * @param placements values to be computed straight into a device buffer (parameter gradients); others are copied there.
 */
export function plan(
  graph: Graph,
  outputs: readonly Value[],
  placements: ReadonlyMap<Value, Placement>,
  { fused = true, images = 'f32', transient = {} }: PlanOptions = {},
): Plan {
  const placed = placeOutputs(graph, placements);
  const roots = [...outputs, ...placements.keys()];
  const separate = neededNodes(graph.nodes, roots);
  const needed = fused ? fuse(graph, separate, roots) : separate;
  const calls = withCopies(needed, placed.copies);
  const stored = images === 'bf16' ? storeImages(calls, roots) : storeAsComputed(calls);
  const { nodes, parents } = arrangeConcats(stored.nodes, placed.direct, outputs);
  const blocks = new Map<Value, Block>();
  const placedAt = [...placements].map(([value, place]) => ({ ...place, count: elementCount(value.shape) }));
  const regions = transientRegions(transient, [...placedAt, ...writtenPlaces(nodes)], nodes.length);

  /** The value that owns the memory, and where in it `value` begins. */
  const resolve = (value: Value): { base: Value; offset: number; rowStride: number } => {
    const { source } = value;
    if (source.kind === 'reshape') return resolve(source.of);
    if (source.kind === 'slice') {
      const of = resolve(source.of);
      return { ...of, offset: of.offset + source.offset };
    }
    const parent = parents.get(value);
    if (parent) {
      const of = resolve(parent.concat);
      return { ...of, offset: of.offset + parent.offset };
    }
    return { base: value, offset: 0, rowStride: value.shape.at(-1) ?? 1 };
  };

  const placeOf = (base: Value): Placement | undefined =>
    base.source.kind === 'external' ? base.source : placed.direct.get(base);

  const touch = (value: Value, time: number): void => {
    const { base } = resolve(value);
    const place = placeOf(base);
    const block = blocks.get(base);
    if (place) {
      regions.touch(place, elementCount(base.shape), time);
    } else if (!block) {
      const bytes = elementCount(base.shape) * bytesPerElement[stored.storageOf(base)];
      blocks.set(base, { bytes: Math.ceil(bytes / alignment) * alignment, begin: time, end: time, offset: 0 });
    } else {
      block.begin = Math.min(block.begin, time);
      block.end = Math.max(block.end, time);
    }
  };
  // Inputs are copied into the arena before the first call, outputs are read after the last.
  for (const value of graph.inputs) if (value.source.kind === 'input') touch(value, -1);
  nodes.forEach((node, time) => {
    for (const value of node.inputs.values()) touch(value, time);
    for (const value of node.outputs.values()) touch(value, time);
  });
  for (const value of outputs) touch(value, nodes.length);
  const liveBytes = largestLive([...blocks.values(), ...regions.blocks], nodes.length);
  const arenaBytes = pack([...blocks.values()], regions.blocks, liveBytes);

  const locate = (value: Value): Location => {
    const { base, offset, rowStride } = resolve(value);
    const size = bytesPerElement[stored.storageOf(base)];
    const place = placeOf(base);
    if (place) {
      const begin = regions.begin(place.buffer);
      const byteOffset = (begin ?? 0) + (place.offset + offset) * size;
      return { buffer: begin === undefined ? place.buffer : undefined, byteOffset, rowStride };
    }
    const block = blocks.get(base);
    if (!block) throw new DiffuseError('ERR_ARGUMENT', `${value.name} is not computed by this program`);
    return { buffer: undefined, byteOffset: block.offset + offset * size, rowStride };
  };
  return { nodes, locate, storageOf: stored.storageOf, arenaBytes, liveBytes };
}

/**
 * Splits placements into values that can be computed in place and nodes that copy the others.
 */
function placeOutputs(
  graph: Graph,
  placements: ReadonlyMap<Value, Placement>,
): { direct: Map<Value, Placement>; copies: Node[] } {
  const direct = new Map<Value, Placement>();
  const copies: Node[] = [];
  for (const [value, place] of placements) {
    if (value.graph !== graph) throw new DiffuseError('ERR_ARGUMENT', `${value.name} belongs to another graph`);
    if (value.source.kind === 'kernel') {
      direct.set(value, place);
    } else {
      const target: Value = { ...value, source: { kind: 'external', ...place } };
      copies.push(moveNode('copy', value, target));
    }
  }
  return { direct, copies };
}

/** Puts each copy behind the last node that computes a part of it, so that nodes further on that read the buffer find it there. */
function withCopies(nodes: readonly Node[], copies: readonly Node[]): Node[] {
  const madeAt = new Map<Value, number>();
  nodes.forEach((node, time) => {
    for (const value of node.outputs.values()) madeAt.set(value, time);
  });
  const ready = (value: Value): number => {
    const { source } = value;
    if (source.kind === 'slice' || source.kind === 'reshape') return ready(source.of);
    if (source.kind === 'concat') return Math.max(...source.parts.map(ready));
    return madeAt.get(value) ?? -1;
  };
  const times = copies.map(({ inputs }) => Math.max(...[...inputs.values()].map(ready)));
  const behind = (time: number): Node[] => copies.filter((_, i) => times[i] === time);
  return [...behind(-1), ...nodes.flatMap((node, time) => [node, ...behind(time)])];
}

/** The nodes that lead to `roots` or change a device buffer in place, in order. */
function neededNodes(nodes: readonly Node[], roots: readonly Value[]): Node[] {
  const needed = new Set<Value>();
  const need = (value: Value): void => {
    if (needed.has(value)) return;
    needed.add(value);
    const { source } = value;
    if (source.kind === 'slice' || source.kind === 'reshape') need(source.of);
    else if (source.kind === 'concat') source.parts.forEach(need);
  };
  roots.forEach(need);
  const kept: Node[] = [];
  for (const node of [...nodes].reverse()) {
    const outputs = [...node.outputs.values()];
    if (!outputs.some((value) => needed.has(value) || value.source.kind === 'external')) continue;
    kept.push(node);
    for (const value of node.inputs.values()) need(value);
  }
  return kept.reverse();
}

/** Where a part of a concatenation lies: in `concat`, from channel `offset` on. */
interface Parent {
  readonly concat: Value;
  readonly offset: number;
}

/**
 * Gives each part of each concatenation its place inside it. A part that cannot be computed there (it is an input, a view, placed
 * in a device buffer or already part of another concatenation) is copied just before the first use.
 */
function arrangeConcats(
  nodes: readonly Node[],
  direct: ReadonlyMap<Value, Placement>,
  outputs: readonly Value[],
): { nodes: Node[]; parents: Map<Value, Parent> } {
  const parents = new Map<Value, Parent>();
  const arranged: Node[] = [];
  const seen = new Set<Value>();
  const arrange = (value: Value): void => {
    const { source } = value;
    if (source.kind === 'slice' || source.kind === 'reshape') arrange(source.of);
    if (source.kind !== 'concat' || seen.has(value)) return;
    seen.add(value);
    let offset = 0;
    for (const part of source.parts) {
      arrange(part);
      const made = sameRows(part);
      const inPlace =
        (made.source.kind === 'kernel' || made.source.kind === 'concat') && !parents.has(made) && !direct.has(made);
      if (inPlace) {
        parents.set(made, { concat: value, offset });
      } else {
        const count = part.shape.at(-1) ?? 0;
        const target: Value = {
          ...part,
          source: { kind: 'slice', of: value, offset },
          shape: [...part.shape.slice(0, -1), count],
        };
        arranged.push(moveNode('copy', part, target));
      }
      offset += part.shape.at(-1) ?? 0;
    }
  };
  for (const node of nodes) {
    for (const value of node.inputs.values()) arrange(value);
    arranged.push(node);
  }
  outputs.forEach(arrange);
  return { nodes: arranged, parents };
}

/** What a value is another shape of, as long as its rows stay rows. */
function sameRows(value: Value): Value {
  const { source } = value;
  return source.kind === 'reshape' && source.of.shape.at(-1) === value.shape.at(-1) ? sameRows(source.of) : value;
}

/** What kernels write into named buffers. */
function writtenPlaces(nodes: readonly Node[]): Written[] {
  return nodes.flatMap(({ outputs }) =>
    [...outputs.values()].flatMap(({ source, shape }) =>
      source.kind === 'external' ? [{ ...source, count: elementCount(shape) }] : [],
    ),
  );
}

/** A plan as text, one line a call, for `diffuse inspect` and for debugging. */
export function planText({ nodes, locate, storageOf }: Plan): string {
  return nodes
    .map((node) => {
      const tensors = [...node.outputs, ...node.inputs].map(([name, value]) => {
        const { buffer, byteOffset } = locate(value);
        return `${name} ${storageOf(value)} ${shapeText(value.shape)} @${buffer ?? 'arena'}+${byteOffset}`;
      });
      return `${node.name}: ${tensors.join(', ')}`;
    })
    .join('\n');
}
