/** What the addon exports (`native/binding/addon.cc`). The only declarations of native code in the project. */
export interface Addon {
  /** Number of this interface; {@link expectedAbi} is what this package was written for. */
  readonly abi: number;
  /** Signature of each kernel, as in `native/ops/kernels.def`. */
  readonly kernels: Readonly<Record<string, string>>;
  /** Instruction sets that this build contains and this CPU runs, best first. */
  readonly isas: readonly string[];
  openDevice(options: NativeDeviceOptions): NativeDevice;
  /** What NVIDIA's driver says of GPUs; never throws. */
  cudaDevices(): CudaReport;
}

/** What {@link Addon.openDevice} opens. */
export type NativeDeviceOptions =
  | { readonly kind: 'cpu'; readonly threads: number; readonly isa: string; readonly direct: boolean }
  /** `tf32`: float32 images may be multiplied as tf32. */
  | { readonly kind: 'cuda'; readonly ordinal: number; readonly tf32: boolean };

/** What {@link Addon.cudaDevices} tells. */
export interface CudaReport {
  /** The version of CUDA that the driver supports ("13.0"); empty where no driver can be used. */
  readonly driver: string;
  /** Why there are no devices; empty where there are. */
  readonly reason: string;
  readonly devices: readonly CudaReportDevice[];
  /** Of the launches that the addon makes; images of kernels must be of the same one. */
  readonly build: string;
  readonly images: CudaImages;
}

/** The folder of compiled kernels that the addon loads from. */
export interface CudaImages {
  readonly folder: string;
  /** `fatbin` is machine code and PTX; empty where there are none. */
  readonly format: 'fatbin' | 'ptx' | '';
  /** The build of the addon that they are for, and a hash of them; empty where they do not say. */
  readonly build: string;
  readonly hash: string;
  /** What they hold code for, `sm_80 … compute_80`. */
  readonly targets: string;
  /** What compiled them, `nvcc 13.0`. */
  readonly compiler: string;
}

/** A GPU that the driver shows, usable or not. */
export interface CudaReportDevice {
  readonly ordinal: number;
  readonly name: string;
  /** "8.0" */
  readonly computeCapability: string;
  readonly memoryBytes: number;
  readonly multiprocessors: number;
  /** Why it cannot be used; empty where it can. */
  readonly reason: string;
}

/** The number of the interface below. */
export const expectedAbi = 7;

/** A backend with its own thread. Every method may throw an Error with a `code`. */
export interface NativeDevice {
  readonly name: string;
  readonly threads: number;
  /** Bytes of its memory that are free; undefined where that is the system's. */
  availableBytes(): number | undefined;
  /** Zeroed memory. */
  allocate(bytes: number): NativeBuffer;
  compile(program: NativeProgramDescription, buffers: readonly NativeBuffer[]): NativeProgram;
  dispose(): void;
}

/**
 * The order of a weight in files: float32 `[outputs, inputs, taps]`, where the device has `[taps, inputs, outputs]`. A linear map
 * has one tap.
 */
export interface FileOrder {
  readonly taps: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Device memory. */
export interface NativeBuffer {
  read(byteOffset: number, byteLength: number, order?: FileOrder): Promise<ArrayBuffer>;
  /** `data` is copied before the call returns. */
  write(byteOffset: number, data: ArrayBufferView, order?: FileOrder): Promise<void>;
  /** Fills a range from an open file, which must stay open until the promise settles. */
  writeFile(
    byteOffset: number,
    fileDescriptor: number,
    position: number,
    byteLength: number,
    order?: FileOrder,
  ): Promise<void>;
  dispose(): void;
}

/**
 * A program as numbers. `code` holds: count of inputs, count of outputs, the input tensors, the output tensors, then for each
 * call: kernel index, count of tensors, count of attributes, the tensors, and for each attribute its value and the index of the
 * scalar that replaces it (-1: none). A tensor is: buffer index (-1 the arena, -2 absent), byte offset, dtype (0 f32, 1 u8,
 * 2 i32, 3 bf16), rank, sizes, row stride.
 */
export interface NativeProgramDescription {
  readonly arenaBytes: number;
  readonly scalarCount: number;
  readonly names: readonly string[];
  readonly code: Float64Array;
}

/** A compiled program. */
export interface NativeProgram {
  readonly scratchBytes: number;
  /** How each call will be computed: in words, empty where there is one way only, and what it passes to itself. */
  plans(): { readonly words: string; readonly scratchBytes: number }[];
  run(
    scalars: Float64Array,
    inputs: readonly ArrayBufferView[],
    options: { checkFinite: boolean; profile: boolean },
  ): Promise<{ outputs: ArrayBuffer[]; callMilliseconds: Float64Array }>;
  /** Stops the runs asked for so far, between kernels or inside them. */
  cancel(): void;
  dispose(): void;
}
