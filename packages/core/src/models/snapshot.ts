import { Graph, type Value } from '../graph/graph.ts';
import { compile } from '../graph/program.ts';
import { DiffuseError } from '../native/errors.ts';
import type { Network } from './model.ts';
import type { ModelWeights } from './weights.ts';

/** A model as it was at one moment. Close it with `using` or {@link Snapshot.dispose} when nothing asks it any more. */
export interface Snapshot<M extends Network> {
  /** The same network with weights of its own, which training does not change; it has no further average. */
  readonly model: M;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Options of {@link snapshot}. */
export interface SnapshotOptions {
  /** Copy the average of the weights where there is one: what one samples from. Default true; false: the weights as trained. */
  readonly ema?: boolean;
}

/**
 * Copies the weights of a model on their device, so that it can be judged while training goes on. A device does its work in the order
 * of the calls: what is copied are the weights at the moment of the call, even if the promise is awaited after later steps.
 * Whatever then asks the copy shares the device with the training, program by program, and changes nothing of it.
 *
 * @example
 * async function judge(step: number): Promise<void> {
 *   using frozen = await snapshot(model)
 *   const { levels } = await lossByLevel({ model: frozen.model, diffusion, data: heldOut, device })
 *   console.log(step, levels)
 * }
 * let judging = Promise.resolve()
 * for await (const { step } of train({ model, diffusion, data, device, steps })) {
 *   if (step % 1000 !== 0) continue
 *   await judging // of the thousand steps before; long done, as a rule
 *   judging = judge(step) // not awaited: the next step follows at once
 * }
 * await judging
 *
 * @throws `ERR_ARGUMENT` for a model without weights, `ERR_OUT_OF_MEMORY`, `ERR_DISPOSED`.
 */
export async function snapshot<M extends Network>(
  model: M,
  { ema = true }: SnapshotOptions = {},
): Promise<Snapshot<M>> {
  const { weights } = model;
  if (!weights) throw new DiffuseError('ERR_ARGUMENT', 'a model without weights has nothing to copy: train or load it');
  const { device, table } = weights;
  const copy = device.allocate(4 * table.size);
  try {
    const graph = new Graph();
    const flat = (buffer: string): Value => graph.external(buffer, [table.size], buffer, 0);
    graph.emit({ kernel: 'copy', outputs: { y: flat('copy') }, inputs: { x: flat('weights') }, attributes: {} });
    const buffers = { copy, weights: (ema ? weights.ema : undefined) ?? weights.parameters };
    using program = compile(graph, { device, buffers });
    await program.run();
  } catch (error) {
    copy.dispose();
    throw error;
  }
  const dispose = (): void => copy.dispose();
  const own = { device, table, parameters: copy, ema: undefined };
  return { model: withWeights(model, own), dispose, [Symbol.dispose]: dispose };
}

/** The same model but for its weights, whatever kind of object it is: methods run on the model itself, which has their private parts. */
function withWeights<M extends Network>(model: M, weights: ModelWeights): M {
  let own: Network['weights'] = weights;
  return new Proxy(model, {
    get(target, name) {
      if (name === 'weights') return own;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set(target, name, value) {
      if (name !== 'weights') return Reflect.set(target, name, value);
      own = value;
      return true;
    },
  });
}
