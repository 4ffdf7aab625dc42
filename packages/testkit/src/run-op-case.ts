import {
  compile,
  concatChannels,
  copy,
  type Device,
  elementCount,
  Graph,
  gradient,
  type Program,
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
  /** What ran. */
  readonly calls: ReturnType<Program['explain']>;
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

/** How an op case is run on a device of its precision. */
interface Mode {
  /** Images are numbers of bf16 and computed inside the program, so that the planner may store them so. */
  readonly bf16: boolean;
  /** Channels beside a view. With so many of them every wider tensor has enough channels to be stored as bf16. */
  readonly padding: number;
}

/**
 * Runs an op case on a device and compares outputs and gradients with the float64 reference. Where the device stores images as bf16
 * the inputs of three dimensions or more are rounded to it, for the reference too; what an op reads and writes is copied before and
 * after, since what comes from outside is never stored so. It takes 16 channels to be stored so, which views always have.
 *
 * @param views true: float32 inputs are slices of wider tensors, and outputs are written into wider tensors.
 */
export async function runOpCase(
  device: Device,
  opCase: OpCase,
  { views = false }: { views?: boolean } = {},
): Promise<CaseResult> {
  const mode = device.precision === 'fp32' ? { bf16: false, padding: 3 } : { bf16: true, padding: 15 };
  const { inputs, data, seeds, expected, slopes } = prepare(opCase, mode);
  const graph = new Graph();
  const feeds: Record<string, TensorData> = {};
  const values: Record<string, Value> = {};
  for (const [name, input] of Object.entries(inputs)) {
    const wide = views && isViewable(input);
    values[name] = feed(graph, feeds, name, input, data[name] as TensorData, wide, mode);
  }
  const built = opCase.build(values);
  const fetched: Record<string, Value> = {};
  for (const [name, value] of Object.entries(built)) {
    fetched[name] = storable(value, mode);
    // Writing into a concatenation makes the output a view.
    if (views && isViewable({ shape: value.shape })) {
      const neighbour = feed(
        graph,
        feeds,
        `neighbour.${name}`,
        neighbourOf(value.shape, mode),
        neighbourData(value.shape, mode),
        false,
        mode,
      );
      fetched[`wide.${name}`] = storable(concatChannels([neighbour, value]), mode);
    }
  }
  const gradients = emitGradients(graph, feeds, seeds, values, built, Object.keys(slopes));
  for (const [name, value] of Object.entries(gradients)) fetched[`gradient.${name}`] = storable(value, mode);

  using program = compile(graph, { device, outputs: fetched });
  const arrays = await program.run({ inputs: feeds });
  const outputErrors: Record<string, number> = {};
  for (const name of Object.keys(built)) {
    outputErrors[name] = relativeError(arrays[name] as Float32Array, (expected[name] as Tensor64).data);
    const wide = arrays[`wide.${name}`];
    if (wide) checkNeighbour(opCase.name, name, wide, (built[name] as Value).shape, mode);
  }
  const gradientErrors: Record<string, number> = {};
  for (const [name, differences] of Object.entries(slopes)) {
    gradientErrors[name] = slopeError(differences, arrays[`gradient.${name}`] as Float32Array);
  }
  return { outputErrors, gradientErrors, arrays, calls: program.explain() };
}

/** What does not depend on the device, nor on views. */
interface Prepared {
  readonly inputs: Readonly<Record<string, CaseInput>>;
  readonly data: Record<string, TensorData>;
  readonly seeds: Readonly<Record<string, Float32Array>>;
  readonly expected: Readonly<Record<string, Tensor64>>;
  readonly slopes: Readonly<Record<string, Slopes>>;
}

/** Computed once: references and their differences take far longer than the kernels. */
const prepared = { f32: new WeakMap<OpCase, Prepared>(), bf16: new WeakMap<OpCase, Prepared>() };

function prepare(opCase: OpCase, { bf16 }: Mode): Prepared {
  const known = prepared[bf16 ? 'bf16' : 'f32'];
  const found = known.get(opCase);
  if (found) return found;
  const { data, reference64 } = prepareInputs(opCase, bf16);
  const expected = opCase.reference(reference64);
  const names = opCase.gradients ?? Object.keys(data).filter((name) => data[name] instanceof Float32Array);
  const seeds: Record<string, Float32Array> = {};
  for (const [i, name] of (opCase.differentiable ?? Object.keys(expected)).entries()) {
    const { shape } = expected[name] as Tensor64;
    const normal = testNormal(1000 + i);
    seeds[name] = Float32Array.from({ length: elementCount(shape) }, normal);
    if (bf16 && shape.length >= leastRank) roundToBf16(seeds[name]);
  }
  const slopes = Object.fromEntries(names.map((name) => [name, finiteDifferences(opCase, reference64, seeds, name)]));
  const result = { inputs: opCase.inputs, data, seeds, expected, slopes };
  known.set(opCase, result);
  return result;
}

/** Fills in the inputs; the reference sees the very float32 numbers that the kernel sees. */
function prepareInputs(
  opCase: OpCase,
  bf16: boolean,
): { data: Record<string, TensorData>; reference64: Record<string, Tensor64> } {
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
    if (bf16 && array instanceof Float32Array && input.shape.length >= leastRank) roundToBf16(array);
    data[name] = array;
    reference64[name] = { shape: input.shape, data: Float64Array.from(array) };
  }
  return { data, reference64 };
}

/** Values of so many dimensions may be images. */
const leastRank = 3;

/** Rounds to the nearest numbers of bf16, ties to even. */
function roundToBf16(array: Float32Array): void {
  const bits = new Uint32Array(array.buffer, array.byteOffset, array.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] ?? 0;
    bits[i] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  }
}

/** The value behind two copies, so that it meets another image that neither comes from outside nor leaves the program. */
function storable(value: Value, { bf16 }: Mode): Value {
  return bf16 && value.dtype === 'f32' && value.shape.length >= leastRank ? copy(copy(value)) : value;
}

/** Small vectors (bias, gamma) are always contiguous; activations may be views. */
function isViewable({ shape, dtype = 'f32' }: CaseInput): boolean {
  return dtype === 'f32' && shape.length >= leastRank;
}

function feed(
  graph: Graph,
  feeds: Record<string, TensorData>,
  name: string,
  input: CaseInput,
  data: TensorData,
  wide: boolean,
  mode: Mode,
): Value {
  if (!wide) {
    feeds[name] = data;
    return storable(graph.input(name, input.shape, input.dtype), mode);
  }
  const channels = input.shape.at(-1) ?? 1;
  const total = channels + 2 * mode.padding;
  const padded = new Float32Array((data.length / channels) * total).fill(Number.NaN);
  for (let i = 0; i < data.length; i++) {
    padded[Math.floor(i / channels) * total + mode.padding + (i % channels)] = data[i] ?? 0;
  }
  feeds[name] = padded;
  const image = storable(graph.input(name, [...input.shape.slice(0, -1), total]), mode);
  return sliceChannels(image, mode.padding, channels);
}

/** What the channels beside a view hold, a number of either format. */
const untouched = 12352;

function neighbourOf(shape: Shape, { padding }: Mode): CaseInput {
  return { shape: [...shape.slice(0, -1), padding] };
}
function neighbourData(shape: Shape, mode: Mode): Float32Array {
  return new Float32Array(elementCount(neighbourOf(shape, mode).shape)).fill(untouched);
}

/** A kernel must not touch the channels beside its view. */
function checkNeighbour(caseName: string, output: string, wide: Float32Array, shape: Shape, { padding }: Mode): void {
  const total = (shape.at(-1) ?? 1) + padding;
  for (let i = 0; i < wide.length; i++) {
    if (i % total < padding && wide[i] !== untouched) {
      throw new Error(`${caseName}: '${output}' wrote outside its channels, at element ${i} of the wider tensor`);
    }
  }
}

/** The gradients of Σ seed · output with respect to the values that are named. */
function emitGradients(
  graph: Graph,
  feeds: Record<string, TensorData>,
  seeds: Readonly<Record<string, Float32Array>>,
  values: Readonly<Record<string, Value>>,
  built: Readonly<Record<string, Value>>,
  names: readonly string[],
): Readonly<Record<string, Value>> {
  if (names.length === 0) return {};
  const list = Object.entries(seeds).map(([name, seed]) => {
    const value = built[name] as Value;
    feeds[`seed.${name}`] = seed;
    return { value, gradient: graph.input(`seed.${name}`, value.shape) };
  });
  const wrt = names.map((name) => values[name] as Value);
  const found = gradient(list, wrt);
  return Object.fromEntries(names.map((name, i) => [name, found.get(wrt[i] as Value) as Value]));
}

/** Coordinates of each input that are checked one by one; a random direction covers the rest. */
const checkedCoordinates = 12;

/** Central differences of Σ seed · reference by one input. */
interface Slopes {
  /** In a random direction over the whole input. */
  readonly direction: Float64Array;
  readonly along: number;
  /** In single coordinates. */
  readonly coordinates: ReadonlyMap<number, number>;
}

function finiteDifferences(
  opCase: OpCase,
  inputs: Readonly<Record<string, Tensor64>>,
  seeds: Readonly<Record<string, Float32Array>>,
  name: string,
): Slopes {
  const objective = (changed: Readonly<Record<string, Tensor64>>): number => {
    const outputs = opCase.reference(changed);
    let sum = 0;
    for (const [output, seed] of Object.entries(seeds)) {
      const { data } = outputs[output] as Tensor64;
      for (let i = 0; i < seed.length; i++) sum += (seed[i] ?? 0) * (data[i] ?? 0);
    }
    return sum;
  };
  const { shape, data } = inputs[name] as Tensor64;
  const slope = (direction: (i: number) => number): number => {
    const step = 1e-5;
    const moved = (sign: number): Tensor64 => ({ shape, data: data.map((x, i) => x + sign * step * direction(i)) });
    return (objective({ ...inputs, [name]: moved(1) }) - objective({ ...inputs, [name]: moved(-1) })) / (2 * step);
  };
  const normal = testNormal(77);
  const direction = Float64Array.from(data, normal);
  const coordinates = new Map<number, number>();
  const checked = Math.min(checkedCoordinates, data.length);
  for (let k = 0; k < checked; k++) {
    const at = Math.floor((k * data.length) / checked);
    coordinates.set(
      at,
      slope((i) => (i === at ? 1 : 0)),
    );
  }
  return { direction, along: slope((i) => direction[i] ?? 0), coordinates };
}

/** Worst error of a gradient, relative to its norm (direction) or its largest element (coordinates). */
function slopeError({ direction, along, coordinates }: Slopes, computed: Float32Array): number {
  const largest = computed.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-3);
  const norm = Math.max(1e-3, Math.sqrt(computed.reduce((sum, x) => sum + x * x, 0)));
  let worst = Math.abs(along - computed.reduce((sum, g, i) => sum + g * (direction[i] ?? 0), 0)) / norm;
  for (const [at, difference] of coordinates) {
    worst = Math.max(worst, Math.abs(difference - (computed[at] ?? 0)) / largest);
  }
  return worst;
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
