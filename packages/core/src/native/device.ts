import { totalmem } from 'node:os';
import { addonPath, loadAddon, translateErrors, translateRejections } from './addon.ts';
import type {
  CudaImages,
  FileOrder,
  NativeBuffer,
  NativeDevice,
  NativeProgram,
  NativeProgramDescription,
} from './bindings.ts';
import { driverBuild } from './cuda.ts';
import { DiffuseError } from './errors.ts';
import { type DeviceName, gpuOrdinal, openBest, openCpu, openGpu } from './open-native.ts';
import { packageVersion } from './version.ts';

export type { CudaImages, FileOrder } from './bindings.ts';

/** A number format: a key of {@link precisions}. */
export type Precision = 'fp32' | 'bf16' | 'bf16-fast';

/**
 * The number formats that a device can be opened with. Weights, their gradients, the optimizer's state, statistics and losses are
 * float32 in each of them.
 */
export const precisions: Readonly<Record<Precision, { readonly description: string }>> = {
  fp32: { description: 'everything in float32' },
  bf16: {
    description: 'images inside a network are stored as bf16: half the memory; sums stay float32',
  },
  'bf16-fast': {
    description: 'the same as bf16 as yet; permits convolutions to round once more',
  },
};

/** Options of {@link openDevice}. */
export interface DeviceOptions {
  /**
   * Threads of the CPU backend that compute, 1 … 1024; 0 (the default) means as many as the process has cores. Results do not depend
   * on it.
   */
  readonly threads?: number | undefined;
  /**
   * Instruction set of the CPU backend: `amx`, `avx512`, `avx2` or `portable`; default the best that the CPU has. With one, `auto` is the
   * CPU.
   */
  readonly isa?: string;
  /**
   * `direct` lets convolutions sum every product of the definition instead of taking Winograd's algorithm where that is faster. For
   * comparison: slower, and different in the last bits. Default `auto`.
   */
  readonly convolution?: 'auto' | 'direct';
  /** The number format of every program compiled for the device; default `fp32`. What `bf16` stores so, `storeImages` decides. */
  readonly precision?: Precision | undefined;
  /** Bytes that programs and buffers may take; default what the system or the GPU has free when a program is compiled. */
  readonly memoryLimit?: number;
  /**
   * Lets a GPU multiply float32 images on its tensor cores as tf32, with 10 bits of mantissa instead of 23; default false. Weights, sums and
   * everything that is stored stay float32. The CPU multiplies float32 whatever this says; {@link Device.tf32} tells.
   */
  readonly tf32?: boolean | undefined;
  /**
   * False opens a GPU without the check of its kernels, which is made once for each GPU, driver and build of the kernels: each must
   * compute on small tensors what the CPU does.
   */
  readonly selfCheck?: boolean | undefined;
  /**
   * Is told, in a sentence, why `auto` passes over a driver or a GPU that should serve: one that is busy, broken or computes wrongly. Default
   * `process.emitWarning`, once.
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A computing device: memory, kernels and a thread of its own. Close it with `using` or {@link Device.dispose}. */
export interface Device {
  /** For people, e.g. `cpu avx512`. */
  readonly name: string;
  /** Of the CPU; of a GPU its multiprocessors. */
  readonly threads: number;
  /** The number format of the programs compiled for it. */
  readonly precision: Precision;
  /** Whether float32 images may be multiplied as tf32; never on the CPU. */
  readonly tf32: boolean;
  /** Bytes of the buffers that are alive. */
  readonly allocatedBytes: number;
  /** Bytes that a further program or buffer may take. */
  availableBytes(): number;
  /** Zeroed memory. @throws `ERR_OUT_OF_MEMORY`, `ERR_DISPOSED` */
  allocate(bytes: number): DeviceBuffer;
  /** Hands a planned program to the addon; use `compile` of the graph instead. */
  load(program: NativeProgramDescription, buffers: readonly DeviceBuffer[]): NativeProgram;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Device memory that outlives runs. Close it with `using` or {@link DeviceBuffer.dispose}, or leave it to the collector. */
export interface DeviceBuffer {
  readonly byteLength: number;
  readonly native: NativeBuffer;
  /**
   * Float32 elements `[offset, offset + count)`.
   *
   * @param order reorders them to that of files on the way.
   * @throws `ERR_SHAPE` when they are not all in the buffer or are not those of the order, `ERR_DISPOSED`
   */
  read(offset: number, count: number, order?: FileOrder): Promise<Float32Array>;
  /**
   * Writes float32 elements from `offset` on; `data` is copied before the call returns.
   *
   * @param order the order of `data`, if it is that of files.
   * @throws as {@link read}
   */
  write(offset: number, data: Float32Array, order?: FileOrder): Promise<void>;
  /**
   * Writes float32 elements that lie in an open file, little-endian, without a way through JavaScript. The file must stay open until
   * the promise settles.
   *
   * @param range where in the file; `position` in bytes, `count` in elements.
   * @throws as {@link write}; `ERR_CHECKPOINT` with the system's words when the file cannot be read so far.
   */
  writeFile(
    offset: number,
    fileDescriptor: number,
    range: { readonly position: number; readonly count: number },
    order?: FileOrder,
  ): Promise<void>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/**
 * Opens a device.
 *
 * @param kind `cpu`, `cuda` (the first GPU), `cuda:1` (the second …), or `auto`: the first GPU that can be used, else the CPU.
 * @throws `ERR_DEVICE` when there is no such device, it cannot be used, or its kernels compute something else than the CPU's;
 *   `ERR_NATIVE` when the addon cannot be loaded, `ERR_ARGUMENT`.
 */
export async function openDevice(kind: 'auto' | DeviceName = 'auto', options: DeviceOptions = {}): Promise<Device> {
  const { threads = 0, isa = '', convolution = 'auto', precision = 'fp32', memoryLimit } = options;
  const { tf32 = false, selfCheck = true, onWarning = warnOnce } = options;
  const ordinal = gpuOrdinal(kind);
  if (kind !== 'auto' && kind !== 'cpu' && ordinal === undefined) {
    throw new DiffuseError(
      'ERR_DEVICE',
      `there is no device '${String(kind)}'; there are auto, cpu, cuda, cuda:0, cuda:1 …`,
    );
  }
  if (!Number.isInteger(threads) || threads < 0 || threads > 1024) {
    throw new DiffuseError(
      'ERR_ARGUMENT',
      `threads is ${threads}; it must be an integer from 1 to 1024, or 0 for all cores`,
    );
  }
  if (convolution !== 'auto' && convolution !== 'direct') {
    throw new DiffuseError('ERR_ARGUMENT', `convolution is '${String(convolution)}'; it must be 'auto' or 'direct'`);
  }
  if (!Object.hasOwn(precisions, precision)) {
    const known = Object.keys(precisions).join(', ');
    throw new DiffuseError('ERR_ARGUMENT', `precision is '${String(precision)}'; it must be one of ${known}`);
  }
  const asked = { threads, isa, direct: convolution === 'direct', tf32, selfCheck, warn: onWarning };
  if (ordinal !== undefined) return wrapDevice(await openGpu(ordinal, asked), { precision, tf32, memoryLimit });
  const native = kind === 'cpu' ? openCpu(asked) : await openBest(asked);
  return wrapDevice(native, { precision, tf32: tf32 && native.name.startsWith('cuda:'), memoryLimit });
}

const warned = new Set<string>();

function warnOnce(message: string): void {
  if (warned.has(message)) return;
  warned.add(message);
  process.emitWarning(message, { type: 'DiffuseWarning', code: 'DIFFUSE_DEVICE' });
}

function wrapDevice(
  native: NativeDevice,
  { precision, tf32, memoryLimit }: { precision: Precision; tf32: boolean; memoryLimit: number | undefined },
): Device {
  let allocatedBytes = 0;
  const device: Device = {
    name: native.name,
    threads: native.threads,
    precision,
    tf32,
    get allocatedBytes() {
      return allocatedBytes;
    },
    availableBytes: () => {
      if (memoryLimit !== undefined) return Math.max(0, memoryLimit - allocatedBytes);
      return native.availableBytes() ?? process.availableMemory();
    },
    allocate(bytes) {
      if (bytes > device.availableBytes()) {
        throw new DiffuseError(
          'ERR_OUT_OF_MEMORY',
          `a buffer of ${mebibytes(bytes)} does not fit on ${native.name}: ${mebibytes(device.availableBytes())} are free`,
        );
      }
      const buffer = translateErrors(() => native.allocate(bytes));
      allocatedBytes += bytes;
      let alive = true;
      return wrapBuffer(buffer, bytes, () => {
        if (alive) allocatedBytes -= bytes;
        alive = false;
      });
    },
    load: (program, buffers) =>
      translateErrors(() =>
        native.compile(
          program,
          buffers.map((buffer) => buffer.native),
        ),
      ),
    dispose: () => native.dispose(),
    [Symbol.dispose]: () => native.dispose(),
  };
  return device;
}

/** Counts the bytes of buffers that the collector took. */
const collected = new FinalizationRegistry<() => void>((release) => release());

function wrapBuffer(native: NativeBuffer, byteLength: number, onDispose: () => void): DeviceBuffer {
  const dispose = (): void => {
    native.dispose();
    onDispose();
  };
  const buffer: DeviceBuffer = {
    byteLength,
    native,
    read: async (offset, count, order) =>
      new Float32Array(await translateRejections(attempt(() => native.read(4 * offset, 4 * count, order)))),
    write: (offset, data, order) => translateRejections(attempt(() => native.write(4 * offset, data, order))),
    writeFile: (offset, fileDescriptor, { position, count }, order) =>
      translateRejections(attempt(() => native.writeFile(4 * offset, fileDescriptor, position, 4 * count, order))),
    dispose,
    [Symbol.dispose]: dispose,
  };
  collected.register(buffer, onDispose);
  return buffer;
}

/** Native methods check their arguments before they make a promise; both failures shall be rejections. */
async function attempt<T>(start: () => Promise<T>): Promise<T> {
  return start();
}

/** Bytes for people, in MiB or GiB. */
export function mebibytes(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** A device of this machine, as {@link listDevices} finds it. */
export interface DeviceDescription {
  /** What {@link openDevice} takes. */
  readonly device: DeviceName;
  /** For people, e.g. `NVIDIA H100 PCIe`. */
  readonly name: string;
  readonly memoryBytes: number;
  /** Of a GPU, e.g. `9.0`. */
  readonly computeCapability?: string;
  /** Why it cannot be used; empty where it can, as far as can be told without computing. */
  readonly reason: string;
}

/** The devices of this machine, the CPU first; GPUs that cannot be used say why. @throws `ERR_NATIVE` */
export function listDevices(): readonly DeviceDescription[] {
  const addon = loadAddon();
  const { devices, reason } = addon.cudaDevices();
  const gpus = devices.map(({ ordinal, name, memoryBytes, computeCapability, ...gpu }) => {
    const device: DeviceName = `cuda:${ordinal}`;
    return { device, name, memoryBytes, computeCapability, reason: gpu.reason || reason };
  });
  return [{ device: 'cpu', name: `cpu ${addon.isas[0]}`, memoryBytes: totalmem(), reason: '' }, ...gpus];
}

/** What there is to know of the addon. */
export interface NativeInfo {
  /** Of this package. */
  readonly version: string;
  /** Where it was loaded from. */
  readonly path: string;
  /** Number of its interface. */
  readonly abi: number;
  /** Instruction sets that it contains and this CPU runs, best first. */
  readonly isas: readonly string[];
  readonly cuda: {
    /** The version of CUDA that the NVIDIA driver supports, e.g. `13.0`; empty where there is no driver that can be used. */
    readonly supports: string;
    /** The driver's own version, e.g. `580.65.06`; empty where the system does not tell. */
    readonly driver: string;
    /** Why no GPU can be used; empty where one may be. */
    readonly reason: string;
    /** The build of the addon's launches: compiled kernels must be of the same one. */
    readonly build: string;
    /** The compiled kernels. */
    readonly images: CudaImages;
  };
}

/** Describes the addon, loading it if need be. @throws `ERR_NATIVE` */
export function nativeInfo(): NativeInfo {
  const addon = loadAddon();
  const { driver: supports, reason, build, images } = addon.cudaDevices();
  const cuda = { supports, driver: driverBuild(), reason, build, images };
  return { version: packageVersion(), path: addonPath(), abi: addon.abi, isas: addon.isas, cuda };
}
