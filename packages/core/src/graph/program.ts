import { loadAddon, translateRejections } from '../native/addon.ts';
import type { NativeProgram } from '../native/bindings.ts';
import { type Device, type DeviceBuffer, mebibytes } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { kernelSignature } from '../native/kernels.ts';
import type { Placement } from './arena.ts';
import { elementCount, type Graph, type Shape, shapeText, type Value } from './graph.ts';
import { type Plan, type PlanOptions, plan } from './plan.ts';
import type { StorageType } from './storage.ts';

/** Arrays by element type. */
export type TensorData = Float32Array | Uint8Array | Int32Array;

/** What {@link compile} needs besides the graph. */
export interface CompileOptions<Output extends string> {
  readonly device: Device;
  /** Values to be returned by each run, by name. */
  readonly outputs?: Readonly<Record<Output, Value>>;
  /** Device buffers that the graph's external values and the placements speak of, by name. */
  readonly buffers?: Readonly<Record<string, DeviceBuffer>>;
  /** Values to be left in a device buffer, such as parameter gradients. */
  readonly placements?: ReadonlyMap<Value, Placement>;
  /** Buffers that only this program uses and only while it runs, by name, with their float32 elements ({@link PlanOptions}). */
  readonly transient?: Readonly<Record<string, number>> | undefined;
  /** False computes every op by a kernel of its own: slower, the same up to rounding. To see what each takes, and for tests. */
  readonly fused?: boolean;
  /** For the message when memory does not suffice: plans the same work at another batch size. */
  readonly batch?: { readonly size: number; readonly memoryAt: (size: number) => MemoryEstimate };
}

/** Bytes that a program takes for the length of its life. */
export interface MemoryEstimate {
  readonly arenaBytes: number;
  readonly scratchBytes: number;
}

/** What one run is given. */
export interface RunOptions {
  /** One array for each input of the graph, by name, in row-major order. Copied before the call returns. */
  readonly inputs?: Readonly<Record<string, TensorData>>;
  /** One number for each scalar of the graph, by name. */
  readonly scalars?: Readonly<Record<string, number>>;
  /** Stops the run between kernels or inside a long one; the run then rejects with `ERR_CANCELLED`. */
  readonly signal?: AbortSignal | undefined;
  /** Looks at every output of every kernel and rejects with `ERR_NON_FINITE` naming the first that holds NaN or infinity. */
  readonly checkFinite?: boolean;
}

/** One kernel call of a program. */
export interface PlannedCall {
  readonly name: string;
  readonly kernel: string;
  /** Shapes of its tensors, by their names in the kernel's signature. */
  readonly shapes: Readonly<Record<string, Shape>>;
  /** The format in which its images are stored: `bf16` if any is. A `cast`, which has both, counts as `bf16`. */
  readonly images: 'f32' | 'bf16';
  /** How the kernel will compute it, in words; empty where there is one way only. */
  readonly plan: string;
  /** What the kernel passes to itself through memory. */
  readonly scratchBytes: number;
}

/** Time of one kernel call. */
export interface CallTime extends PlannedCall {
  readonly timeMs: number;
}

/** A graph made ready for a device: one asynchronous call runs it all. Close it with `using` or {@link Program.dispose}. */
export interface Program<Output extends string = string> extends MemoryEstimate {
  /** Peak memory of a run in bytes, buffers that outlive it not counted. Known before anything has run. */
  readonly peakBytes: number;
  readonly calls: number;
  /**
   * Runs the program on the device's thread; runs of one device happen one after the other, in the order of the calls.
   *
   * @returns the outputs by name, in row-major order.
   * @throws `ERR_CANCELLED`, `ERR_NON_FINITE`, `ERR_SHAPE`, `ERR_ARGUMENT`, `ERR_DISPOSED`, `ERR_OUT_OF_MEMORY`.
   */
  run(options?: RunOptions): Promise<Record<Output, Float32Array>>;
  /** The calls of a run, in order. */
  explain(): readonly PlannedCall[];
  /** As {@link run}, and returns how long each kernel call took. */
  profile(options?: RunOptions): Promise<CallTime[]>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/**
 * Plans a graph's memory and hands it to a device.
 *
 * @throws `ERR_OUT_OF_MEMORY` before anything is allocated, saying how much is missing and which batch size would fit;
 *   `ERR_SHAPE`, `ERR_ARGUMENT` when the graph does not fit the kernels.
 */
export function compile<Output extends string = never>(graph: Graph, options: CompileOptions<Output>): Program<Output> {
  const { device, buffers = {}, batch } = options;
  const outputs = Object.entries<Value>(options.outputs ?? {});
  const planned = planFor(graph, options);
  const inputs = graph.inputs.filter((value) => value.source.kind === 'input');
  const names = Object.keys(buffers);
  const code = encode(
    graph,
    planned,
    inputs,
    outputs.map(([, value]) => value),
    names,
  );
  const native = device.load(
    {
      arenaBytes: planned.arenaBytes,
      scalarCount: graph.scalars.length,
      names: planned.nodes.map((node) => node.name),
      code,
    },
    Object.values(buffers),
  );
  const memory = { arenaBytes: planned.arenaBytes, scratchBytes: native.scratchBytes };
  try {
    if (memory.arenaBytes + memory.scratchBytes > device.availableBytes()) throw outOfMemory(device, memory, batch);
  } catch (error) {
    // It would hold the device open until the collector comes.
    native.dispose();
    throw error;
  }
  return wrapProgram(
    native,
    graph,
    planned,
    inputs,
    outputs.map(([name]) => name as Output),
    memory,
  );
}

/** Plans without loading: what a program would take. `scratchBytes` is that of the device's kernels. */
export function estimateMemory<Output extends string>(graph: Graph, options: CompileOptions<Output>): MemoryEstimate {
  const outputs = Object.values<Value>(options.outputs ?? {});
  const { device, buffers = {} } = options;
  const planned = planFor(graph, options);
  const inputs = graph.inputs.filter((value) => value.source.kind === 'input');
  const native = device.load(
    {
      arenaBytes: planned.arenaBytes,
      scalarCount: graph.scalars.length,
      names: planned.nodes.map((node) => node.name),
      code: encode(graph, planned, inputs, outputs, Object.keys(buffers)),
    },
    Object.values(buffers),
  );
  const { scratchBytes } = native;
  native.dispose();
  return { arenaBytes: planned.arenaBytes, scratchBytes };
}

/** Plans with the number format of the device. */
function planFor(
  graph: Graph,
  { device, outputs = {}, placements = new Map(), fused, transient }: CompileOptions<string>,
): Plan {
  const images = device.precision === 'fp32' ? 'f32' : 'bf16';
  return plan(graph, Object.values(outputs), placements, { fused, images, transient });
}

function outOfMemory(device: Device, memory: MemoryEstimate, batch: CompileOptions<string>['batch']): DiffuseError {
  const needed = memory.arenaBytes + memory.scratchBytes;
  const available = device.availableBytes();
  let advice = '';
  if (batch) {
    // Memory grows with the batch: the largest size that fits, by bisection.
    let fits = 0;
    let fails = batch.size;
    while (fails - fits > 1) {
      const middle = (fits + fails) >> 1;
      const { arenaBytes, scratchBytes } = batch.memoryAt(middle);
      if (arenaBytes + scratchBytes <= available) fits = middle;
      else fails = middle;
    }
    advice =
      fits > 0
        ? `; a batch size of ${fits} instead of ${batch.size} would fit`
        : '; not even a batch size of 1 would fit: take a smaller model or resolution';
  }
  return new DiffuseError(
    'ERR_OUT_OF_MEMORY',
    `the program needs ${mebibytes(needed)}, ${mebibytes(available)} are available, ${mebibytes(needed - available)} are missing${advice}`,
  );
}

const dtypeCode = { f32: 0, u8: 1, i32: 2, bf16: 3 } as const satisfies Record<StorageType, number>;

/** Writes the description that `bindings.ts` documents. */
function encode(
  graph: Graph,
  planned: Plan,
  inputs: readonly Value[],
  outputs: readonly Value[],
  bufferNames: readonly string[],
): Float64Array {
  const kernels = Object.keys(loadAddon().kernels);
  const kernelIndex = new Map(kernels.map((name, i) => [name, i]));
  const scalarIndex = new Map(graph.scalars.map((name, i) => [name, i]));
  const code: number[] = [];
  const writeTensor = (value: Value | undefined): void => {
    if (!value) {
      code.push(-2, 0, 0, 1, 1, 1);
      return;
    }
    const { buffer, byteOffset, rowStride } = planned.locate(value);
    const index = buffer === undefined ? -1 : bufferNames.indexOf(buffer);
    if (buffer !== undefined && index < 0) {
      throw new DiffuseError('ERR_ARGUMENT', `${value.name} lies in the buffer '${buffer}', which was not given`);
    }
    code.push(index, byteOffset, dtypeCode[planned.storageOf(value)], value.shape.length, ...value.shape, rowStride);
  };
  code.push(inputs.length, outputs.length);
  inputs.forEach(writeTensor);
  outputs.forEach(writeTensor);
  for (const node of planned.nodes) {
    const signature = kernelSignature(node.kernel);
    code.push(kernelIndex.get(node.kernel) ?? -1, signature.tensors.length, signature.attributes.length);
    for (const { name, output } of signature.tensors) writeTensor((output ? node.outputs : node.inputs).get(name));
    for (const name of signature.attributes) {
      const attribute = node.attributes[name] ?? 0;
      if (typeof attribute === 'number') code.push(attribute, -1);
      else code.push(0, scalarIndex.get(attribute.name) ?? -1);
    }
  }
  return Float64Array.from(code);
}

function wrapProgram<Output extends string>(
  native: NativeProgram,
  graph: Graph,
  planned: Plan,
  inputs: readonly Value[],
  outputNames: readonly Output[],
  memory: MemoryEstimate,
): Program<Output> {
  const scalarNames = graph.scalars;
  const launch = async (options: RunOptions, profile: boolean): ReturnType<NativeProgram['run']> => {
    const { signal, checkFinite = false } = options;
    const scalars = gatherScalars(scalarNames, options.scalars ?? {});
    const arrays = gatherInputs(inputs, options.inputs ?? {});
    if (signal?.aborted) throw new DiffuseError('ERR_CANCELLED', 'the run was cancelled before it began');
    const cancel = (): void => native.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await translateRejections(startRun(() => native.run(scalars, arrays, { checkFinite, profile })));
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  };
  const explain = (): PlannedCall[] => {
    const plans = native.plans();
    return planned.nodes.map(({ name, kernel, inputs: read, outputs: written }, i) => {
      const tensors = [...read, ...written];
      return {
        name,
        kernel,
        shapes: Object.fromEntries(tensors.map(([tensor, { shape }]) => [tensor, shape])),
        images: tensors.some(([, value]) => planned.storageOf(value) === 'bf16') ? 'bf16' : 'f32',
        plan: plans[i]?.words ?? '',
        scratchBytes: plans[i]?.scratchBytes ?? 0,
      };
    });
  };
  return {
    ...memory,
    peakBytes: memory.arenaBytes + memory.scratchBytes,
    calls: planned.nodes.length,
    async run(options = {}) {
      const { outputs } = await launch(options, false);
      return Object.fromEntries(
        outputNames.map((name, i) => [name, new Float32Array(outputs[i] as ArrayBuffer)]),
      ) as Record<Output, Float32Array>;
    },
    explain,
    async profile(options = {}) {
      const { callMilliseconds } = await launch(options, true);
      return explain().map((call, i) => ({ ...call, timeMs: callMilliseconds[i] ?? 0 }));
    },
    dispose: () => native.dispose(),
    [Symbol.dispose]: () => native.dispose(),
  };
}

/** Makes a synchronous throw of the native call a rejection. */
async function startRun<T>(start: () => Promise<T>): Promise<T> {
  return start();
}

function gatherScalars(names: readonly string[], given: Readonly<Record<string, number>>): Float64Array {
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      throw new DiffuseError(
        'ERR_ARGUMENT',
        `the graph has no scalar '${name}'; it has: ${names.join(', ') || 'none'}`,
      );
    }
  }
  return Float64Array.from(names, (name) => {
    const value = given[name];
    if (value === undefined) throw new DiffuseError('ERR_ARGUMENT', `the scalar '${name}' is missing`);
    return value;
  });
}

const arrayType = { f32: Float32Array, u8: Uint8Array, i32: Int32Array } as const;

function gatherInputs(inputs: readonly Value[], given: Readonly<Record<string, TensorData>>): TensorData[] {
  for (const name of Object.keys(given)) {
    if (!inputs.some((input) => input.name === name)) {
      throw new DiffuseError('ERR_ARGUMENT', `the graph has no input '${name}'`);
    }
  }
  return inputs.map((input) => {
    const data = given[input.name];
    const expected = `${input.dtype} ${shapeText(input.shape)}`;
    if (!data) throw new DiffuseError('ERR_ARGUMENT', `the input '${input.name}', ${expected}, is missing`);
    if (!(data instanceof arrayType[input.dtype])) {
      throw new DiffuseError(
        'ERR_DTYPE',
        `the input '${input.name}' is a ${data.constructor.name}, expected ${expected}`,
      );
    }
    if (data.length !== elementCount(input.shape)) {
      throw new DiffuseError(
        'ERR_SHAPE',
        `the input '${input.name}' has ${data.length} elements, expected ${expected}`,
      );
    }
    return data;
  });
}
