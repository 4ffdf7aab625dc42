import {
  compile,
  concatChannels,
  type Device,
  elementCount,
  Graph,
  gradient,
  type Shape,
  sliceChannels,
  type TensorData,
  type Value,
} from '@diffuse/core';
import type { CaseInput, OpCase, Tensor64 } from './op-case.ts';

/** What running an op case on a device gave. */
export interface CaseResult {
  /** Worst relative error of each output, by name. */
  readonly outputErrors: Readonly<Record<string, number>>;
  /** Worst relative error of each input's gradient, by name. */
  readonly gradientErrors: Readonly<Record<string, number>>;
  /** All output and gradient arrays, to compare bits between runs. */
  readonly arrays: Readonly<Record<string, Float32Array>>;
}

/** A reproducible stream of standard normal numbers (mulberry32 and Box-Muller): test data only. */
export function testNormal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const viewPadding = 3;

/**
 * Runs an op case on a device and compares outputs and gradients with the float64 reference.
 *
 * @param views true: float32 inputs are slices of wider tensors, and outputs are written into wider tensors.
 */
export async function runOpCase(
  device: Device,
  opCase: OpCase,
  { views = false }: { views?: boolean } = {},
): Promise<CaseResult> {
  const { inputs, data, reference64 } = prepareInputs(opCase);
  const graph = new Graph();
  const feeds: Record<string, TensorData> = {};
  const values: Record<string, Value> = {};
  for (const [name, input] of Object.entries(inputs)) {
    const wide = views && isViewable(input);
    values[name] = feed(graph, feeds, name, input, data[name] as TensorData, wide);
  }
  const built = opCase.build(values);
  const fetched: Record<string, Value> = {};
  for (const [name, value] of Object.entries(built)) {
    fetched[name] = value;
    // Writing into a concatenation makes the output a view.
    if (views && isViewable({ shape: value.shape })) {
      const neighbour = feed(
        graph,
        feeds,
        `neighbour.${name}`,
        neighbourOf(value.shape),
        neighbourData(value.shape),
        false,
      );
      fetched[`wide.${name}`] = concatChannels([neighbour, value]);
    }
  }
  const gradients = emitGradients(graph, feeds, opCase, values, built);
  for (const [name, value] of Object.entries(gradients.values)) fetched[`gradient.${name}`] = value;

  using program = compile(graph, { device, outputs: fetched });
  const arrays = await program.run({ inputs: feeds });
  const expected = opCase.reference(reference64);
  const outputErrors: Record<string, number> = {};
  for (const name of Object.keys(built)) {
    outputErrors[name] = relativeError(arrays[name] as Float32Array, (expected[name] as Tensor64).data);
    const wide = arrays[`wide.${name}`];
    if (wide) checkNeighbour(opCase.name, name, wide, (built[name] as Value).shape);
  }
  const gradientErrors = finiteDifferences(opCase, reference64, gradients.seeds, arrays);
  return { outputErrors, gradientErrors, arrays };
}

interface Prepared {
  readonly inputs: Readonly<Record<string, CaseInput>>;
  readonly data: Record<string, TensorData>;
  readonly reference64: Record<string, Tensor64>;
}

/** Fills in the inputs; the reference sees the very float32 numbers that the kernel sees. */
function prepareInputs(opCase: OpCase): Prepared {
  const data: Record<string, TensorData> = {};
  const reference64: Record<string, Tensor64> = {};
  let seed = 1;
  for (const [name, input] of Object.entries(opCase.inputs)) {
    const normal = testNormal(seed++);
    const count = elementCount(input.shape);
    const defaults = { f32: () => normal(), i32: (i: number) => i % 10, u8: (i: number) => (i * 37) % 256 };
    const element = input.values ?? defaults[input.dtype ?? 'f32'];
    const ArrayType = { f32: Float32Array, i32: Int32Array, u8: Uint8Array }[input.dtype ?? 'f32'];
    const array = new ArrayType(count);
    for (let i = 0; i < count; i++) array[i] = element(i);
    data[name] = array;
    reference64[name] = { shape: input.shape, data: Float64Array.from(array) };
  }
  return { inputs: opCase.inputs, data, reference64 };
}

/** Small vectors (bias, gamma) are always contiguous; activations may be views. */
function isViewable({ shape, dtype = 'f32' }: CaseInput): boolean {
  return dtype === 'f32' && shape.length >= 3;
}

function feed(
  graph: Graph,
  feeds: Record<string, TensorData>,
  name: string,
  input: CaseInput,
  data: TensorData,
  wide: boolean,
): Value {
  if (!wide) {
    feeds[name] = data;
    return graph.input(name, input.shape, input.dtype);
  }
  const channels = input.shape.at(-1) ?? 1;
  const total = channels + 2 * viewPadding;
  const padded = new Float32Array((data.length / channels) * total).fill(Number.NaN);
  for (let i = 0; i < data.length; i++) {
    padded[Math.floor(i / channels) * total + viewPadding + (i % channels)] = data[i] ?? 0;
  }
  feeds[name] = padded;
  return sliceChannels(graph.input(name, [...input.shape.slice(0, -1), total]), viewPadding, channels);
}

function neighbourOf(shape: Shape): CaseInput {
  return { shape: [...shape.slice(0, -1), viewPadding] };
}
function neighbourData(shape: Shape): Float32Array {
  return new Float32Array(elementCount(neighbourOf(shape).shape)).fill(12345);
}

/** A kernel must not touch the channels beside its view. */
function checkNeighbour(caseName: string, output: string, wide: Float32Array, shape: Shape): void {
  const total = (shape.at(-1) ?? 1) + viewPadding;
  for (let i = 0; i < wide.length; i++) {
    if (i % total < viewPadding && wide[i] !== 12345) {
      throw new Error(`${caseName}: '${output}' wrote outside its channels, at element ${i} of the wider tensor`);
    }
  }
}

interface Gradients {
  readonly values: Readonly<Record<string, Value>>;
  readonly seeds: Readonly<Record<string, Float32Array>>;
}

function emitGradients(
  graph: Graph,
  feeds: Record<string, TensorData>,
  opCase: OpCase,
  values: Readonly<Record<string, Value>>,
  built: Readonly<Record<string, Value>>,
): Gradients {
  const names = opCase.gradients ?? Object.keys(values).filter((name) => values[name]?.dtype === 'f32');
  if (names.length === 0) return { values: {}, seeds: {} };
  const seeds: Record<string, Float32Array> = {};
  const differentiable = opCase.differentiable ?? Object.keys(built);
  const list = differentiable.map((name) => {
    const value = built[name] as Value;
    const normal = testNormal(1000 + value.id);
    const seed = Float32Array.from({ length: elementCount(value.shape) }, normal);
    seeds[name] = seed;
    feeds[`seed.${name}`] = seed;
    return { value, gradient: graph.input(`seed.${name}`, value.shape) };
  });
  const wrt = names.map((name) => values[name] as Value);
  const found = gradient(list, wrt);
  return { values: Object.fromEntries(names.map((name, i) => [name, found.get(wrt[i] as Value) as Value])), seeds };
}

/** Coordinates of each input that are checked one by one; a random direction covers the rest. */
const checkedCoordinates = 12;

/**
 * Compares gradients with central differences of Σ seed · reference: in random directions over the whole input, and in single
 * coordinates. Errors are relative to the norm (directions) or the largest element (coordinates) of the gradient.
 */
function finiteDifferences(
  opCase: OpCase,
  inputs: Readonly<Record<string, Tensor64>>,
  seeds: Readonly<Record<string, Float32Array>>,
  arrays: Readonly<Record<string, Float32Array>>,
): Record<string, number> {
  const objective = (changed: Readonly<Record<string, Tensor64>>): number => {
    const outputs = opCase.reference(changed);
    let sum = 0;
    for (const [name, seed] of Object.entries(seeds)) {
      const { data } = outputs[name] as Tensor64;
      for (let i = 0; i < seed.length; i++) sum += (seed[i] ?? 0) * (data[i] ?? 0);
    }
    return sum;
  };
  const errors: Record<string, number> = {};
  for (const [key, computed] of Object.entries(arrays)) {
    if (!key.startsWith('gradient.')) continue;
    const name = key.slice('gradient.'.length);
    const input = inputs[name] as Tensor64;
    const slope = (direction: (i: number) => number, step: number): number => {
      const moved = (sign: number): Tensor64 => ({
        shape: input.shape,
        data: input.data.map((x, i) => x + sign * step * direction(i)),
      });
      return (objective({ ...inputs, [name]: moved(1) }) - objective({ ...inputs, [name]: moved(-1) })) / (2 * step);
    };
    const largest = computed.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-3);
    const norm = Math.max(1e-3, Math.sqrt(computed.reduce((sum, x) => sum + x * x, 0)));
    const normal = testNormal(77);
    const direction = Float64Array.from(computed, normal);
    const along = computed.reduce((sum, g, i) => sum + g * (direction[i] ?? 0), 0);
    let worst = Math.abs(slope((i) => direction[i] ?? 0, 1e-5) - along) / norm;
    for (let k = 0; k < Math.min(checkedCoordinates, computed.length); k++) {
      const at = Math.floor((k * computed.length) / Math.min(checkedCoordinates, computed.length));
      const difference = slope((i) => (i === at ? 1 : 0), 1e-5) - (computed[at] ?? 0);
      worst = Math.max(worst, Math.abs(difference) / largest);
    }
    errors[name] = worst;
  }
  return errors;
}

/** Largest |difference| over the largest |reference|; infinite where NaN or the sizes differ. */
export function relativeError(actual: Float32Array, expected: Float64Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 1e-30;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
    const d = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0));
    if (!(d <= difference)) difference = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return difference / largest;
}

/** Whether two arrays hold the same bits; unlike `==`, tells 0 from -0 and finds NaN equal to itself. */
export function sameBits(a: Float32Array | undefined, b: Float32Array | undefined): boolean {
  if (!a || !b || a.length !== b.length) return false;
  const bits = (array: Float32Array): Uint32Array => new Uint32Array(array.buffer, array.byteOffset, array.length);
  const other = bits(b);
  return bits(a).every((word, i) => word === other[i]);
}
