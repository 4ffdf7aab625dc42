import type { Placement } from '../graph/arena.ts';
import { type Attribute, Graph, type Value } from '../graph/graph.ts';
import { fill } from '../graph/ops/elementwise.ts';
import { randomNormal, randomUniform } from '../graph/ops/random.ts';
import { compile } from '../graph/program.ts';
import type { Device, DeviceBuffer } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { Purpose, splitSeed } from '../random/philox.ts';
import type { Network } from './model.ts';
import { type ParameterLayout, parameterSize } from './parameter-layout.ts';

/** Where a parameter lies in a flat buffer; offsets in elements. */
export interface ParameterSlot extends ParameterLayout {
  readonly offset: number;
}

/**
 * The name table of a flat parameter buffer. Parameters, gradients, moments and averages all have this layout, so that the
 * optimizer is one pass and a checkpoint one walk. Each parameter begins at a multiple of 16 elements; the gaps hold zeros.
 */
export interface ParameterTable {
  readonly slots: readonly ParameterSlot[];
  /** Elements of the whole buffer. */
  readonly size: number;
  /** Number of parameters, gaps not counted. */
  readonly count: number;
  /** @throws `ERR_ARGUMENT` when there is no such parameter. */
  slot(name: string): ParameterSlot;
}

/** Lays parameters out in a flat buffer. */
export function parameterTable(parameters: readonly ParameterLayout[]): ParameterTable {
  let size = 0;
  let count = 0;
  const slots = parameters.map((parameter) => {
    const slot = { ...parameter, offset: size };
    count += parameterSize(parameter);
    size += Math.ceil(parameterSize(parameter) / 16) * 16;
    return slot;
  });
  const byName = new Map(slots.map((slot) => [slot.name, slot]));
  return {
    slots,
    size,
    count,
    slot(name) {
      const slot = byName.get(name);
      if (!slot) throw new DiffuseError('ERR_ARGUMENT', `the model has no parameter '${name}'`);
      return slot;
    },
  };
}

/** The weights of a model on a device: flat buffers of the layout of `table`. */
export interface ModelWeights {
  readonly device: Device;
  readonly table: ParameterTable;
  /** The weights as trained. */
  readonly parameters: DeviceBuffer;
  /** Their exponential moving average, if there is one: what one samples from. */
  readonly ema: DeviceBuffer | undefined;
}

/** Puts the parameters of a model into a graph, as slices of the buffer `buffer`. */
export function parameterValues(graph: Graph, table: ParameterTable, buffer = 'parameters'): Map<string, Value> {
  return new Map(table.slots.map(({ name, shape, offset }) => [name, graph.external(name, shape, buffer, offset)]));
}

/**
 * Fills a flat buffer with fresh weights, as PyTorch initialises the same layers: convolutions and linear maps (weights and
 * biases) uniform in ±1/sqrt(inputs), normalisations one and zero, class embeddings standard normal, Fourier frequencies normal
 * with standard deviation 16. Layers marked `startsAtZero` are zero. The same seed gives the same weights on every device.
 */
export async function initializeParameters(
  device: Device,
  table: ParameterTable,
  buffer: DeviceBuffer,
  seed: number,
): Promise<void> {
  const graph = new Graph();
  const [seedLow, seedHigh] = splitSeed(seed);
  const placements = new Map<Value, Placement>();
  table.slots.forEach((slot, index) => {
    // The index of the parameter takes the place of the step, so that each has a stream of its own.
    const stream = { seedLow, seedHigh, purpose: Purpose.init, step: index, sampleOffset: 0 };
    const flat = [1, parameterSize(slot)];
    placements.set(initialValue(graph, table, slot, flat, stream), { buffer: 'parameters', offset: slot.offset });
  });
  using program = compile(graph, { device, buffers: { parameters: buffer }, placements });
  await program.run();
}

type Stream = Readonly<Record<'seedLow' | 'seedHigh' | 'purpose' | 'step' | 'sampleOffset', Attribute>>;

function initialValue(
  graph: Graph,
  table: ParameterTable,
  slot: ParameterSlot,
  shape: number[],
  stream: Stream,
): Value {
  const { name, layout } = slot;
  if (name === 'time_proj.weight') return randomNormal(graph, shape, { ...stream, deviation: 16 });
  const isBias = name.endsWith('.bias');
  const weight = isBias ? table.slot(name.replace(/bias$/, 'weight')) : slot;
  if (weight.startsAtZero) return fill(graph, shape, 0);
  if (weight.layout !== 'plain') {
    const inputs = weight.shape.slice(0, -1).reduce((product, size) => product * size, 1);
    const bound = 1 / Math.sqrt(inputs);
    return randomUniform(graph, shape, { ...stream, low: -bound, high: bound });
  }
  const isTable = layout === 'plain' && slot.shape.length === 2;
  return isTable ? randomNormal(graph, shape, stream) : fill(graph, shape, isBias ? 0 : 1);
}

/**
 * Gives a model fresh weights.
 *
 * @param ema also make an average, equal to the weights at first.
 */
export async function initializeModel(
  model: Network,
  device: Device,
  { seed = 0, ema = false }: { seed?: number; ema?: boolean } = {},
): Promise<ModelWeights> {
  const table = parameterTable(model.parameters);
  const parameters = device.allocate(table.size * 4);
  await initializeParameters(device, table, parameters, seed);
  const average = ema ? device.allocate(table.size * 4) : undefined;
  if (average) await initializeParameters(device, table, average, seed);
  model.weights = { device, table, parameters, ema: average };
  return model.weights;
}

/** The weights of a model on `device`. @throws `ERR_ARGUMENT` when it has none yet, or has them elsewhere. */
export function weightsOn(model: Network, device: Device): ModelWeights {
  if (!model.weights) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      'the model has no weights yet: train it, load them, or call initializeModel',
    );
  }
  if (model.weights.device !== device) {
    throw new DiffuseError(
      'ERR_DEVICE',
      `the weights of the model are on ${model.weights.device.name}, not on this device`,
    );
  }
  return model.weights;
}
