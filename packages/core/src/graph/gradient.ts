import { DiffuseError } from '../native/errors.ts';
import { concatChannels, expectShape, type Graph, type Node, reshape, sliceChannels, type Value } from './graph.ts';
import { add, fill } from './ops/elementwise.ts';

/** An output to differentiate and the gradient of the loss with respect to it, of the same shape. */
export interface Seed {
  readonly value: Value;
  readonly gradient: Value;
}

/**
 * Reverse-mode differentiation: emits, after everything that the graph holds, the ops that compute the gradient of
 * Σ ⟨seed.gradient, seed.value⟩ with respect to each value of `wrt`.
 *
 * Nodes are visited in reverse order of emission and asked only for the gradients that lead to `wrt`. Forward values marked
 * recomputable are computed a second time instead of being kept. Gradients of a view are summed up before they are passed on to
 * what it is a view of: one sum for a concatenation instead of one for each part.
 *
 * @param wrt values to differentiate by; those that the seeds do not depend on get zeros.
 * @returns gradient of each value of `wrt`, of its shape.
 */
export function gradient(seeds: readonly Seed[], wrt: readonly Value[]): Map<Value, Value> {
  const graph = seeds[0]?.value.graph ?? wrt[0]?.graph;
  if (!graph) return new Map();
  const forward = [...graph.nodes];
  const leading = dependents(forward, wrt);
  const gradients = new Map<Value, Value>();
  const wrtSet = new Set(wrt);
  /** Views with a gradient that has not been passed on, for each value that they show. */
  const waiting = new Map<Value, Set<Value>>();

  const accumulate = (value: Value, addend: Value): void => {
    expectShape(`gradient of ${value.name}`, addend.shape, value.shape);
    if (!leading(value)) return;
    const sum = gradients.get(value);
    gradients.set(value, sum ? add(sum, addend) : addend);
    if (sum || viewed(value).length === 0 || wrtSet.has(value)) return;
    for (const whole of shown(value)) waiting.set(whole, (waiting.get(whole) ?? new Set()).add(value));
  };
  const passOn = (view: Value): void => {
    const addend = gradients.get(view) as Value;
    gradients.delete(view);
    for (const whole of shown(view)) waiting.get(whole)?.delete(view);
    const { source } = view;
    if (source.kind === 'reshape') accumulate(source.of, reshape(addend, source.of.shape));
    if (source.kind === 'slice') accumulate(source.of, padChannels(addend, source.of, source.offset));
    if (source.kind !== 'concat') return;
    let offset = 0;
    for (const part of source.parts) {
      const count = part.shape.at(-1) ?? 0;
      accumulate(part, sliceChannels(addend, offset, count));
      offset += count;
    }
  };
  /** Passes on the gradients of all views of a value, views of views first. */
  const settle = (value: Value): void => {
    for (let views = waiting.get(value); views?.size; ) {
      passOn([...views].reduce((outer, view) => (depth(view) > depth(outer) ? view : outer)));
    }
  };

  graph.recomputing(() => {
    for (const seed of seeds) accumulate(seed.value, seed.gradient);
    for (const node of forward.reverse()) {
      // Whoever reads a view of an output has been visited.
      for (const output of node.outputs.values()) settle(output);
      visit(graph, node, leading, gradients, accumulate);
    }
    for (const value of [...waiting.keys()]) settle(value);
  });

  const result = new Map<Value, Value>();
  for (const value of wrt) result.set(value, gradients.get(value) ?? fill(graph, value.shape, 0));
  return result;
}

/** The values that a view is made of; none for a value of its own. */
function viewed({ source }: Value): readonly Value[] {
  if (source.kind === 'concat') return source.parts;
  return source.kind === 'reshape' || source.kind === 'slice' ? [source.of] : [];
}

/** The values that a view shows in the end. */
function shown(value: Value): readonly Value[] {
  const parts = viewed(value);
  return parts.length === 0 ? [value] : parts.flatMap(shown);
}

/** How many views stand between a value and what it shows. */
function depth(value: Value): number {
  const parts = viewed(value);
  return parts.length === 0 ? 0 : 1 + Math.max(...parts.map(depth));
}

/** Asks one node for the gradients of its inputs. */
function visit(
  graph: Graph,
  node: Node,
  leading: (value: Value) => boolean,
  gradients: ReadonlyMap<Value, Value>,
  accumulate: (value: Value, addend: Value) => void,
): void {
  const outputGradients: Record<string, Value | undefined> = {};
  let reached = false;
  for (const [name, output] of node.outputs) {
    outputGradients[name] = gradients.get(output);
    reached ||= outputGradients[name] !== undefined;
  }
  const wanted = new Set([...node.inputs].filter(([, input]) => leading(input)).map(([name]) => name));
  if (!reached || wanted.size === 0) return;
  if (!node.gradient) throw new DiffuseError('ERR_ARGUMENT', `${node.name}: the kernel ${node.kernel} has no gradient`);
  const { gradient: rule } = node;
  const inputGradients = graph.scope(`gradient(${node.name})`, () => rule(outputGradients, wanted));
  for (const [name, input] of node.inputs) {
    const addend = inputGradients[name];
    if (addend && wanted.has(name)) accumulate(input, addend);
  }
}

/** A predicate: does the value depend on one of `wrt`? */
function dependents(nodes: readonly Node[], wrt: readonly Value[]): (value: Value) => boolean {
  const known = new Map<Value, boolean>(wrt.map((value) => [value, true]));
  const depends = (value: Value): boolean => {
    const answer = known.get(value);
    if (answer !== undefined) return answer;
    const { source } = value;
    let result = false;
    if (source.kind === 'slice' || source.kind === 'reshape') result = depends(source.of);
    else if (source.kind === 'concat') result = source.parts.some(depends);
    known.set(value, result);
    return result;
  };
  for (const node of nodes) {
    const answer = !node.stopsGradient && [...node.inputs.values()].some(depends);
    for (const output of node.outputs.values()) if (!known.get(output)) known.set(output, answer);
  }
  return depends;
}

/** The gradient of a slice as a gradient of the whole: zeros in the other channels. */
function padChannels(addend: Value, whole: Value, offset: number): Value {
  const channels = whole.shape.at(-1) ?? 0;
  const count = addend.shape.at(-1) ?? 0;
  const zeros = (n: number): Value[] => (n > 0 ? [fill(whole.graph, [...whole.shape.slice(0, -1), n], 0)] : []);
  return concatChannels([...zeros(offset), addend, ...zeros(channels - offset - count)]);
}
