import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { DiffuseError } from '@diffuse/core';
import { readRange } from './packed-file.ts';

// IDX (http://yann.lecun.com/exdb/mnist): big endian. Two zero bytes, the type of the elements (8: unsigned byte),
// the number of dimensions, each dimension as uint32, then the elements.

const unsignedByte = 0x08;

/** What the header of an IDX image file says, after the length of the file has been checked against it. */
export interface IdxImageHeader {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** Where the first image starts, in bytes. */
  readonly offset: number;
}

/** Whether a file starts like an IDX file: two zero bytes, a known type, one to four dimensions. */
export function looksLikeIdx(head: Uint8Array): boolean {
  const [zero0, zero1, type = 0, dimensions = 0] = head;
  return zero0 === 0 && zero1 === 0 && type >= 0x08 && type <= 0x0e && dimensions >= 1 && dimensions <= 4;
}

/**
 * Reads the header of an idx3-ubyte file of images.
 *
 * @throws DiffuseError `ERR_DATA` for another magic number, no images, or a length that does not fit the dimensions.
 */
export async function readIdxImageHeader(file: FileHandle, path: string): Promise<IdxImageHeader> {
  const [count = 0, height = 0, width = 0] = await readDimensions(file, path, 3, 'images (idx3-ubyte)');
  if (count === 0 || height === 0 || width === 0) {
    throw new DiffuseError('ERR_DATA', `${path} holds no images: its header says ${count} of ${height} x ${width}`);
  }
  return { count, height, width, offset: 16 };
}

/**
 * Reads an idx1-ubyte file of labels.
 *
 * @returns int32 [count], each 0 … 255, and the hash of the labels.
 * @throws DiffuseError `ERR_DATA` for another magic number or a wrong length.
 */
export async function readIdxLabels(path: string): Promise<{ labels: Int32Array; identity: string }> {
  return withFile(path, async (file) => {
    const [count = 0] = await readDimensions(file, path, 1, 'labels (idx1-ubyte)');
    const hash = createHash('sha256');
    const labels = Int32Array.from(await readRange(file, 8, count, (piece) => void hash.update(piece)));
    return { labels, identity: hash.digest('hex') };
  });
}

/** Opens a file, hands it over, closes it. */
export async function withFile<Result>(path: string, use: (file: FileHandle) => Promise<Result>): Promise<Result> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    const message = error.code === 'ENOENT' ? `there is no file ${path}` : `cannot open ${path}: ${error.message}`;
    throw new DiffuseError('ERR_DATA', message, { cause: error });
  });
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Checks magic number and length. */
async function readDimensions(
  file: FileHandle,
  path: string,
  dimensions: number,
  what: string,
): Promise<readonly number[]> {
  const status = await file.stat();
  if (!status.isFile()) throw new DiffuseError('ERR_DATA', `${path} is no file; an IDX file of ${what} was expected`);
  const headerBytes = 4 + 4 * dimensions;
  const header = Buffer.from(await readRange(file, 0, Math.min(headerBytes, status.size)));
  const wanted = (unsignedByte << 8) | dimensions;
  const magic = header.length >= 4 ? header.readUInt32BE(0) : undefined;
  if (magic !== wanted) throw wrongMagic(path, header, wanted, what);
  if (header.length < headerBytes) {
    throw new DiffuseError('ERR_DATA', `${path} ends within its header: ${status.size} bytes of ${headerBytes}`);
  }
  const sizes = Array.from({ length: dimensions }, (_, i) => header.readUInt32BE(4 + 4 * i));
  const expected = headerBytes + sizes.reduce((product, size) => product * size, 1);
  if (status.size !== expected) {
    throw new DiffuseError(
      'ERR_DATA',
      `${path} has the wrong length: its header says ${sizes.join(' x ')}, so ${expected} bytes; it has ${status.size}`,
    );
  }
  return sizes;
}

function wrongMagic(path: string, header: Buffer, wanted: number, what: string): DiffuseError {
  const hex = (bytes: number): string => `0x${bytes.toString(16).padStart(8, '0')}`;
  const start = `${path} is no IDX file of ${what}: `;
  if (header.length < 4) return new DiffuseError('ERR_DATA', `${start}it has only ${header.length} bytes`);
  const magic = header.readUInt32BE(0);
  const hint = magic >>> 16 === 0x1f8b ? '; it is compressed with gzip, unpack it first' : '';
  return new DiffuseError('ERR_DATA', `${start}it starts with ${hex(magic)} instead of ${hex(wanted)}${hint}`);
}
