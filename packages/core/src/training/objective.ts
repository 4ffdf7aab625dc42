import { elementCount, type Graph, type Shape, shapeText, type Value } from '../graph/graph.ts';
import type { Model, Network, Randomness } from '../models/model.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';

/** What an {@link Objective} builds its loss from. */
export interface ObjectiveContext<M extends Network = Model> {
  readonly graph: Graph;
  readonly model: M;
  /** Samples of the batch, N. */
  readonly batchSize: number;
  readonly inputs: {
    /** The batch, [N, ...shape of the model], of the data's element type. */
    readonly data: Value;
    /** Class of each sample, int32 [N]; given when the model has classes. */
    readonly labels?: Value | undefined;
    /** Noise level of each sample, float32 [N], integers; given where {@link Objective.lossAware} asks for it. */
    readonly level?: Value | undefined;
    /** What each sample's loss is multiplied with, float32 [N]; given together with `level`. */
    readonly importance?: Value | undefined;
  };
  /** Seed, step and first sample: what every random op is given, so that a step is the same on every device. */
  readonly randomness: Randomness;
  /** The model's parameter of that name. @throws `ERR_ARGUMENT` when there is none. */
  parameter(name: string): Value;
  /** A table of the objective as a value of that shape. @throws `ERR_SHAPE` when it has another number of elements. */
  table(name: string, shape: Shape): Value;
}

/** What an {@link Objective} returns. */
export interface ObjectiveResult {
  /** What training makes small, float32 [1]. */
  readonly loss: Value;
  /** Other figures of the batch to be reported with each step, each float32 [1]. */
  readonly outputs?: Readonly<Record<string, Value>>;
  /** Loss of each sample before `importance`, float32 [N]; what {@link Objective.lossAware} needs. */
  readonly perSample?: Value;
}

/**
 * What a network is trained for: from a batch to a loss. Everything else of training (order of the data, gradients, optimizer,
 * average, exact resuming) is the same for all. `train({ objective })` takes one; `train({ diffusion })` makes the denoising one.
 */
export interface Objective<M extends Network = Model> {
  readonly name: string;
  /** Constant tables by name; they are uploaded once. */
  readonly tables?: Readonly<Record<string, Float32Array>>;
  /** Have training draw the noise levels by the losses that each had, out of so many timesteps; absent: `build` draws them. */
  readonly lossAware?: { readonly timesteps: number };
  /** Emits the forward pass and the loss. Called once for each program that is planned. */
  build(context: ObjectiveContext<M>): ObjectiveResult;
}

/** The constant tables of an objective on a device. */
export interface ObjectiveTables {
  readonly buffers: Readonly<Record<string, DeviceBuffer>>;
  /** Settles when the tables are filled. */
  readonly ready: Promise<unknown>;
  dispose(): void;
}

/** Names that the buffers of a training step have already. */
const takenNames = new Set(['parameters', 'gradients', 'firstMoment', 'secondMoment', 'ema', 'sum']);

/**
 * Uploads the tables of an objective.
 *
 * @throws `ERR_ARGUMENT` for the name of another buffer, `ERR_OUT_OF_MEMORY`.
 */
export function uploadTables(device: Device, { name: objective, tables = {} }: Objective<Network>): ObjectiveTables {
  const buffers: Record<string, DeviceBuffer> = {};
  const writes: Promise<unknown>[] = [];
  const dispose = (): void => {
    for (const buffer of Object.values(buffers)) buffer.dispose();
  };
  try {
    for (const [name, table] of Object.entries(tables)) {
      if (takenNames.has(name)) {
        throw new DiffuseError('ERR_ARGUMENT', `the objective '${objective}' cannot have a table named '${name}'`);
      }
      const buffer = device.allocate(table.byteLength);
      buffers[name] = buffer;
      writes.push(buffer.write(0, table));
    }
  } catch (error) {
    dispose();
    throw error;
  }
  const ready = Promise.all(writes);
  ready.catch(() => undefined); // reported to whoever awaits it
  return { buffers, ready, dispose };
}

/** The tables of an objective as values of a graph; see {@link ObjectiveContext.table}. */
export function tableValues(
  graph: Graph,
  { name: objective, tables = {} }: Objective<Network>,
): (name: string, shape: Shape) => Value {
  return (name, shape) => {
    const table = tables[name];
    if (!table) throw new DiffuseError('ERR_ARGUMENT', `the objective '${objective}' has no table named '${name}'`);
    if (table.length !== elementCount(shape)) {
      throw new DiffuseError(
        'ERR_SHAPE',
        `the table '${name}' of the objective '${objective}' has ${table.length} elements, not ${shapeText(shape)}`,
      );
    }
    return graph.external(`table ${name}`, shape, name, 0);
  };
}
