import { DiffuseError } from '../native/errors.ts';
import { createScanner, excerpt, type Fail, quote, type Scanner } from './header-scanner.ts';

/** Element types of the safetensors format that diffuse reads. Numbers are little-endian; `BOOL` is one byte, 0 or 1. */
export type SafetensorsDtype =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U64'
  | 'U32'
  | 'U16'
  | 'U8'
  | 'BOOL';

/** Where one tensor lies in the file. Elements are in row-major order. */
export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype;
  /** Sizes, outermost first; `[]` is a scalar, and a size of 0 makes an empty tensor. */
  readonly shape: readonly number[];
  /** First byte, counted from the beginning of the file. */
  readonly byteOffset: number;
  /** Product of the shape times the size of an element. */
  readonly byteLength: number;
}

/** The validated header of a file. */
export interface SafetensorsHeader {
  /** The text entries of `__metadata__`; empty when the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensors by name, in the header's order. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
}

/** Bytes of one element. */
export const dtypeBytes: Readonly<Record<SafetensorsDtype, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
};

/** Largest JSON header in bytes; the limit of the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes before the JSON header: its length as an unsigned 64-bit little-endian number. */
export const PREFIX_BYTES = 8;

const METADATA_KEY = '__metadata__';

/**
 * Length of the JSON header, from the first 8 bytes of a file.
 *
 * @param prefix the first bytes of the file.
 * @param fileSize size of the whole file in bytes.
 * @param source what to call the file in an error.
 * @throws DiffuseError `ERR_CHECKPOINT` when the file is shorter than the header it announces, or the header too long.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, source: string): number {
  const fail = failIn(source);
  if (fileSize < PREFIX_BYTES || prefix.length < PREFIX_BYTES) {
    fail(`is ${Math.min(fileSize, prefix.length)} bytes long; the header's length alone takes ${PREFIX_BYTES}`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    fail(`announces a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are allowed`);
  }
  if (PREFIX_BYTES + Number(length) > fileSize) {
    fail(`announces a header of ${length} bytes, but the file ends after ${fileSize} bytes`);
  }
  return Number(length);
}

/**
 * Parses and validates the header of a safetensors file (https://huggingface.co/docs/safetensors): 8 bytes of length, a
 * JSON object `{ name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__": { text: text } }`, the data. What
 * it returns is consistent: every tensor lies inside the file, its length follows from dtype and shape, and together
 * they fill the data part without a gap or an overlap.
 *
 * The grammar is that of the format, not all of JSON, read in one pass: nothing recurses, so nested input costs nothing,
 * and a repeated key, which `JSON.parse` would swallow, is seen.
 *
 * @param bytes the beginning of the file, at least up to the end of the header.
 * @param fileSize size of the whole file in bytes.
 * @param source what to call the file in an error.
 * @throws DiffuseError `ERR_CHECKPOINT` naming `source` and what is wrong.
 */
export function parseSafetensorsHeader(
  bytes: Uint8Array,
  fileSize: number,
  source = 'safetensors file',
): SafetensorsHeader {
  const fail = failIn(source);
  const length = headerLength(bytes, fileSize, source);
  const dataStart = PREFIX_BYTES + length;
  if (bytes.length < dataStart) fail(`header is cut off after ${bytes.length} of ${dataStart} bytes`);
  if (bytes[PREFIX_BYTES] !== 0x7b) fail('header does not begin with {');
  const scanner = createScanner(decodeUtf8(bytes.subarray(PREFIX_BYTES, dataStart), fail), fail);

  let metadata: Readonly<Record<string, string>> = {};
  const tensors = new Map<string, SafetensorsEntry>();
  scanner.object('the header', (name) => {
    if (name === METADATA_KEY) metadata = parseMetadata(scanner);
    else tensors.set(name, parseEntry(scanner, name, dataStart, fail));
  });
  scanner.end();
  checkCoverage(tensors, dataStart, fileSize, fail);
  return { metadata, tensors };
}

/**
 * The 8 bytes of length and the JSON header for tensors that follow one another in the given order. The header is padded
 * with spaces so that the data begin at a multiple of 8, byte for byte as the reference implementation writes it.
 *
 * @param tensors names without repetition, dtypes and shapes; checked by the caller.
 * @param metadata text entries; an empty object writes no `__metadata__`.
 */
export function formatSafetensorsHeader(
  tensors: readonly { readonly name: string; readonly dtype: SafetensorsDtype; readonly shape: readonly number[] }[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  // Members are joined by hand: a JavaScript object would move names that look like integers to the front.
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(`"${METADATA_KEY}":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const end = offset + byteLengthOf(dtype, shape);
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(PREFIX_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, PREFIX_BYTES);
  return header;
}

/** Bytes of a tensor: the product of the shape times the element size. Not a safe integer when the shape is absurd. */
export function byteLengthOf(dtype: SafetensorsDtype, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, dtypeBytes[dtype]);
}

/** Whether a text can be a tensor name: UTF-8 has no lone surrogates, and `__metadata__` is taken. */
export function isTensorName(name: string): boolean {
  return name !== METADATA_KEY && !/\p{Surrogate}/u.test(name);
}

function failIn(source: string): Fail {
  return (problem) => {
    throw new DiffuseError('ERR_CHECKPOINT', `${source}: ${problem}`);
  };
}

function decodeUtf8(bytes: Uint8Array, fail: Fail): string {
  try {
    // With ignoreBOM a byte order mark stays in the text, and the scanner refuses it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail('header is not UTF-8 text');
  }
}

function parseMetadata(scanner: Scanner): Readonly<Record<string, string>> {
  const entries: [string, string][] = [];
  scanner.object(METADATA_KEY, (key) =>
    entries.push([key, scanner.string(`the value of ${METADATA_KEY}.${quote(key)}`)]),
  );
  return Object.fromEntries(entries);
}

function parseEntry(scanner: Scanner, name: string, dataStart: number, fail: Fail): SafetensorsEntry {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const what = `tensor ${quote(name)}`;
  scanner.object(what, (key) => {
    if (key === 'dtype') dtype = scanner.string(`dtype of ${what}`);
    else if (key === 'shape') shape = scanner.integers(`shape of ${what}`);
    else if (key === 'data_offsets') offsets = scanner.integers(`data_offsets of ${what}`);
    else fail(`${what} has the unknown key ${quote(key)}; expected dtype, shape and data_offsets`);
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    return fail(`${what} lacks ${dtype === undefined ? 'dtype' : shape === undefined ? 'shape' : 'data_offsets'}`);
  }
  if (!Object.hasOwn(dtypeBytes, dtype)) {
    fail(`${what} has dtype ${quote(dtype)}; expected one of ${Object.keys(dtypeBytes).join(', ')}`);
  }
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin === undefined || end === undefined || begin > end) {
    return fail(`${what} has data_offsets [${excerpt(offsets.join(', '))}]; expected [begin, end] with begin <= end`);
  }
  const byteLength = byteLengthOf(dtype as SafetensorsDtype, shape);
  if (byteLength !== end - begin) {
    fail(
      `${what} takes ${byteLength} bytes as ${dtype} [${excerpt(shape.join(', '))}], not the ${end - begin} of its data_offsets`,
    );
  }
  return { dtype: dtype as SafetensorsDtype, shape, byteOffset: dataStart + begin, byteLength };
}

/** Tensors in file order must follow one another from the first data byte to the last. */
function checkCoverage(
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  dataStart: number,
  fileSize: number,
  fail: Fail,
): void {
  const inOrder = [...tensors].sort(([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  let expected = dataStart;
  for (const [name, { byteOffset, byteLength }] of inOrder) {
    if (byteOffset !== expected) {
      const relation = byteOffset < expected ? 'overlaps the tensor before it' : 'leaves a gap before it';
      fail(
        `tensor ${quote(name)} begins at data byte ${byteOffset - dataStart} and ${relation}; expected ${expected - dataStart}`,
      );
    }
    expected = byteOffset + byteLength;
  }
  if (expected !== fileSize) {
    const state = expected > fileSize ? 'is cut off' : 'has bytes after the last tensor';
    fail(`${state}: the tensors end at byte ${expected}, the file at byte ${fileSize}`);
  }
}
