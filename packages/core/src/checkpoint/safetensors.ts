import { type FileHandle, open, stat } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { DeviceBuffer, FileOrder } from '../native/device.ts';
import { DiffuseError } from '../native/errors.ts';
import { withAtomicFile } from './atomic-file.ts';
import { fileOperation } from './file-errors.ts';
import { widenBfloat16, widenFloat16 } from './half-precision.ts';
import {
  byteLengthOf,
  dtypeBytes,
  formatSafetensorsHeader,
  headerLength,
  isTensorName,
  MAX_HEADER_BYTES,
  PREFIX_BYTES,
  parseSafetensorsHeader,
  type SafetensorsDtype,
  type SafetensorsEntry,
} from './safetensors-header.ts';

export {
  parseSafetensorsHeader,
  type SafetensorsDtype,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from './safetensors-header.ts';

/** One `read` call asks for at most this much. */
const READ_BYTES = 64 * 2 ** 20;

/** Elements converted between two turns of the event loop: under a millisecond of work. */
const CONVERT_ELEMENTS = 2 ** 17;

/** What a tensor is read as. `F16` and `BF16` arrive widened to float32, `BOOL` as bytes 0 and 1. */
export type SafetensorsArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** An open file whose header has been validated. Tensors are read one by one, on demand. */
export interface SafetensorsFile extends AsyncDisposable {
  readonly path: string;
  /** The text entries of `__metadata__`; empty when the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensors by name, in the header's order. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /**
   * Reads one tensor, row-major, into an array of its own dtype; `F16` and `BF16` are widened to float32, exactly.
   *
   * @throws DiffuseError `ERR_CHECKPOINT` when there is no such tensor or its bytes cannot be read.
   */
  read(name: string): Promise<SafetensorsArray>;
  /**
   * Reads one tensor of a floating-point dtype as float32. `F64` is rounded to nearest; the others are exact.
   *
   * @throws DiffuseError `ERR_CHECKPOINT` as `read`, and when the tensor holds integers or booleans.
   */
  readFloat32(name: string): Promise<Float32Array>;
  /**
   * Fills a range of a device buffer with a tensor of a floating-point dtype as float32. `F32` goes straight from the file to the
   * device.
   *
   * @param place offset in elements, and the order of the tensor if it is not the device's.
   * @throws DiffuseError as `readFloat32`; `ERR_SHAPE`, `ERR_DISPOSED` as {@link DeviceBuffer.write}.
   */
  loadFloat32(
    name: string,
    buffer: DeviceBuffer,
    place: { offset: number; order?: FileOrder | undefined },
  ): Promise<void>;
  /** Closes the file after the reads that are under way. Closing twice is harmless. */
  close(): Promise<void>;
}

/** Element types that `writeSafetensors` writes. */
export type WritableDtype = 'F64' | 'F32' | 'I64' | 'I32' | 'U8';

/** A tensor to write. */
export interface SafetensorsSource {
  /** Well-formed Unicode, without repetition in the file, not `__metadata__`. */
  readonly name: string;
  readonly dtype: WritableDtype;
  /** Sizes, outermost first, each an integer >= 0. */
  readonly shape: readonly number[];
  /**
   * The elements, row-major: a typed array of the dtype, or their little-endian bytes as a `Uint8Array` or `DataView`.
   * Called when the tensor's turn has come, once; the result is let go before the next tensor is asked for, and must not
   * change while it is being written.
   */
  readonly data: () => ArrayBufferView | Promise<ArrayBufferView>;
}

const arrayTypes: Readonly<Record<SafetensorsDtype, new (buffer: ArrayBuffer) => SafetensorsArray>> = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/**
 * Opens a safetensors file and validates its header (see {@link parseSafetensorsHeader}). Only the header is read.
 *
 * @param path a regular file.
 * @throws DiffuseError `ERR_CHECKPOINT` naming the file and what is wrong with it.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  // Asked before opening: opening a named pipe would wait for a writer.
  const { size, isFile } = await fileOperation('open', path, async () => {
    const status = await stat(path);
    return { size: status.size, isFile: status.isFile() };
  });
  if (!isFile) throw new DiffuseError('ERR_CHECKPOINT', `cannot open ${path}: it is not a regular file`);
  const handle = await fileOperation('open', path, () => open(path, 'r'));
  try {
    const prefix = await readBytes(handle, path, 0, Math.min(PREFIX_BYTES, size));
    const length = PREFIX_BYTES + headerLength(prefix, size, path);
    const { metadata, tensors } = parseSafetensorsHeader(await readBytes(handle, path, 0, length), size, path);
    return safetensorsFile(path, handle, metadata, tensors);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function safetensorsFile(
  path: string,
  handle: FileHandle,
  metadata: Readonly<Record<string, string>>,
  tensors: ReadonlyMap<string, SafetensorsEntry>,
): SafetensorsFile {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= handle.close();
    return closing;
  };

  const read = async (name: string): Promise<SafetensorsArray> => {
    if (closing) throw new DiffuseError('ERR_DISPOSED', `${path} is closed; read tensors before closing the file`);
    const entry = tensors.get(name);
    if (!entry) throw new DiffuseError('ERR_CHECKPOINT', `${path}: there is no tensor ${JSON.stringify(name)}`);
    const bytes = await readBytes(handle, path, entry.byteOffset, entry.byteLength);
    const values = new arrayTypes[entry.dtype](bytes.buffer);
    if (entry.dtype === 'F16') return toFloat32(values as Uint16Array, widenFloat16);
    if (entry.dtype === 'BF16') return toFloat32(values as Uint16Array, widenBfloat16);
    return values;
  };

  const readFloat32 = async (name: string): Promise<Float32Array> => {
    const dtype = tensors.get(name)?.dtype;
    if (dtype !== undefined && !['F64', 'F32', 'F16', 'BF16'].includes(dtype)) {
      const problem = `tensor ${JSON.stringify(name)} is ${dtype}; expected F32, F16, BF16 or F64`;
      throw new DiffuseError('ERR_CHECKPOINT', `${path}: ${problem}`);
    }
    const values = await read(name);
    if (values instanceof Float64Array) return toFloat32(values, (source, target) => target.set(source));
    return values as Float32Array;
  };

  const loadFloat32: SafetensorsFile['loadFloat32'] = async (name, buffer, { offset, order }) => {
    const entry = tensors.get(name);
    if (closing || entry?.dtype !== 'F32') return buffer.write(offset, await readFloat32(name), order);
    const range = { position: entry.byteOffset, count: entry.byteLength / dtypeBytes.F32 };
    try {
      await buffer.writeFile(offset, handle.fd, range, order);
    } catch (error) {
      if (!(error instanceof DiffuseError) || error.code !== 'ERR_CHECKPOINT') throw error;
      throw new DiffuseError('ERR_CHECKPOINT', `${path}: ${error.message}`, { cause: error });
    }
  };

  return { path, metadata, tensors, read, readFloat32, loadFloat32, close, [Symbol.asyncDispose]: close };
}

/** Converts piece by piece, so that timers and sockets get their turn between the pieces. */
async function toFloat32<A extends Uint16Array | Float64Array>(
  source: A,
  convert: (source: A, target: Float32Array) => void,
): Promise<Float32Array> {
  const target = new Float32Array(source.length);
  for (let begin = 0; begin < source.length; begin += CONVERT_ELEMENTS) {
    const end = begin + CONVERT_ELEMENTS;
    convert(source.subarray(begin, end) as A, target.subarray(begin, end));
    if (end < source.length) await setImmediate();
  }
  return target;
}

async function readBytes(
  handle: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(length);
  } catch (cause) {
    const problem = `${path}: a tensor of ${length} bytes does not fit into the memory of this process`;
    throw new DiffuseError('ERR_CHECKPOINT', problem, { cause });
  }
  for (let done = 0; done < length; ) {
    const wanted = Math.min(READ_BYTES, length - done);
    const { bytesRead } = await fileOperation('read', path, () => handle.read(bytes, done, wanted, position + done));
    if (bytesRead === 0) {
      throw new DiffuseError('ERR_CHECKPOINT', `${path}: was cut off at byte ${position + done} while it was open`);
    }
    done += bytesRead;
  }
  return bytes;
}

/**
 * Writes a safetensors file, one tensor after the other, so that only one of them is in memory at a time. The tensors
 * keep the given order in the header and in the data. The file appears whole or not at all (see `withAtomicFile`):
 * when `data` throws or the disk is full, an older file of that name stays as it was.
 *
 * @param path file to create or replace; its directory must exist.
 * @param tensors what to write, in this order.
 * @param metadata text entries for `__metadata__`.
 * @throws DiffuseError `ERR_ARGUMENT` for a bad name, dtype, shape or data that do not fit them; `ERR_CHECKPOINT` when
 * the system refuses to write. What `data` throws passes unchanged.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<SafetensorsSource>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sources = [...tensors];
  checkSources(path, sources, metadata);
  const header = formatSafetensorsHeader(sources, metadata);
  if (header.length > PREFIX_BYTES + MAX_HEADER_BYTES) {
    const problem = `the names and metadata for ${path} take ${header.length} bytes; at most ${MAX_HEADER_BYTES} are allowed`;
    throw new DiffuseError('ERR_ARGUMENT', problem);
  }
  await withAtomicFile(path, async (file) => {
    await file.write(header);
    for (const source of sources) {
      const data = await source.data();
      checkData(source, data);
      await file.write(data);
    }
  });
}

function checkSources(
  path: string,
  sources: readonly SafetensorsSource[],
  metadata: Readonly<Record<string, string>>,
): void {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_ARGUMENT', `cannot write ${path}: ${problem}`);
  };
  const names = new Set<string>();
  for (const { name, dtype, shape } of sources) {
    const tensor = `tensor ${JSON.stringify(name)}`;
    if (typeof name !== 'string' || !isTensorName(name))
      refuse(`${tensor} needs another name, well-formed Unicode text`);
    if (names.has(name)) refuse(`${tensor} is given twice`);
    names.add(name);
    if (!['F64', 'F32', 'I64', 'I32', 'U8'].includes(dtype)) {
      refuse(`${tensor} has dtype ${dtype}; expected F64, F32, I64, I32 or U8`);
    }
    const valid = shape.every((size) => Number.isSafeInteger(size) && size >= 0);
    if (!valid || !Number.isSafeInteger(byteLengthOf(dtype, shape))) {
      refuse(`${tensor} has shape [${shape.join(', ')}]; expected integers >= 0 whose product is below 2^53 bytes`);
    }
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') refuse(`metadata ${JSON.stringify(key)} is ${typeof value}; expected a string`);
    if (/\p{Surrogate}/u.test(key + value)) refuse(`metadata ${JSON.stringify(key)} is not well-formed Unicode text`);
  }
}

function checkData({ name, dtype, shape }: SafetensorsSource, data: ArrayBufferView): void {
  const isBytes = data instanceof Uint8Array || data instanceof DataView;
  if (!isBytes && !(data instanceof arrayTypes[dtype])) {
    const problem = `data of tensor ${JSON.stringify(name)}: expected ${arrayTypes[dtype].name} or bytes for ${dtype}`;
    throw new DiffuseError('ERR_ARGUMENT', problem);
  }
  const expected = byteLengthOf(dtype, shape);
  if (data.byteLength !== expected) {
    const elements = expected / dtypeBytes[dtype];
    const problem = `data of tensor ${JSON.stringify(name)}: ${data.byteLength} bytes came, but [${shape.join(', ')}] is`;
    throw new DiffuseError('ERR_ARGUMENT', `${problem} ${elements} elements of ${dtype}, ${expected} bytes`);
  }
}
