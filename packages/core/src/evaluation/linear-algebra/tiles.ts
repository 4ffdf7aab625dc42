/**
 * All pairs of two sets of vectors, four by four in registers: products for covariances and kernels, squared distances for
 * neighbours. float64 throughout.
 */
import type { Pace } from '../pace.ts';

/** Vectors in memory: element k of vector i is `data[i * stride + k * step]`. */
export interface VectorView {
  readonly data: Float32Array | Float64Array;
  readonly count: number;
  readonly length: number;
  readonly stride: number;
  readonly step: number;
}

/** Vectors in groups of four, the elements k of a group side by side; the last group is filled up with zeros. */
export interface PackedVectors {
  readonly data: Float64Array;
  readonly count: number;
  readonly length: number;
  readonly groups: number;
}

/** Combines a group of `a` with a group of `b`: tile[4 i + j] for vector i of `a` and vector j of `b`. */
export type TileKernel = (
  a: Float64Array,
  aOffset: number,
  b: Float64Array,
  bOffset: number,
  length: number,
  tile: Float64Array,
) => void;

/** Vectors of a group. */
export const GROUP = 4;

/** The rows of a row-major matrix [count, length] as vectors. */
export function rowsOf(data: Float32Array | Float64Array, [count, length]: readonly [number, number]): VectorView {
  return { data, count, length, stride: length, step: 1 };
}

/** The columns of a row-major matrix [length, count] as vectors. */
export function columnsOf(data: Float32Array | Float64Array, [length, count]: readonly [number, number]): VectorView {
  return { data, count, length, stride: 1, step: count };
}

/** Copies vectors into groups. */
export async function packVectors(
  { data, count, length, stride, step }: VectorView,
  pace: Pace,
): Promise<PackedVectors> {
  const groups = Math.ceil(count / GROUP);
  const packed = new Float64Array(groups * GROUP * length);
  for (let i = 0; i < count; i++) {
    const begin = (i - (i % GROUP)) * length + (i % GROUP);
    for (let k = 0; k < length; k++) packed[begin + k * GROUP] = data[i * stride + k * step] as number;
    if (i % GROUP === 0) await pace();
  }
  return { data: packed, count, length, groups };
}

/**
 * Calls `visit` with the kernel of each vector of `a` with all of `b`; the array is used again for the next.
 */
export async function forEachRow(
  kernel: TileKernel,
  a: PackedVectors,
  b: PackedVectors,
  pace: Pace,
  visit: (i: number, values: Float64Array) => void,
): Promise<void> {
  const rows = new Float64Array(GROUP * b.count);
  for (let group = 0; group < a.groups; group++) {
    rows.fill(0);
    addTiles(kernel, a, group, b, rows);
    const last = Math.min(GROUP, a.count - group * GROUP);
    for (let i = 0; i < last; i++) visit(group * GROUP + i, rows.subarray(i * b.count, (i + 1) * b.count));
    await pace();
  }
}

const tile = new Float64Array(GROUP * GROUP);

/**
 * Adds a kernel of four vectors of `a` with the vectors of `b`: `out[i, j] += kernel(a[4 group + i], b[j])`.
 *
 * @param out float64, rows of `b.count` from `offset` on; as many rows as the group has vectors.
 * @param firstGroup leaves out the groups of `b` before this one.
 */
export function addTiles(
  kernel: TileKernel,
  a: PackedVectors,
  group: number,
  b: PackedVectors,
  out: Float64Array,
  { offset = 0, firstGroup = 0 }: { readonly offset?: number; readonly firstGroup?: number } = {},
): void {
  const { length } = a;
  const rows = Math.min(GROUP, a.count - group * GROUP);
  for (let other = firstGroup; other < b.groups; other++) {
    const column = other * GROUP;
    const columns = Math.min(GROUP, b.count - column);
    kernel(a.data, group * GROUP * length, b.data, column * length, length, tile);
    for (let i = 0; i < rows; i++) {
      const begin = offset + i * b.count + column;
      for (let j = 0; j < columns; j++) {
        out[begin + j] = (out[begin + j] as number) + (tile[i * GROUP + j] as number);
      }
    }
  }
}

// The two kernels are written out, for sixteen sums in local variables are what the compiler keeps in registers: half a tile is
// 1.6 times slower.

/** Scalar products. */
export const products: TileKernel = (a, aOffset, b, bOffset, length, out) => {
  let c00 = 0;
  let c01 = 0;
  let c02 = 0;
  let c03 = 0;
  let c10 = 0;
  let c11 = 0;
  let c12 = 0;
  let c13 = 0;
  let c20 = 0;
  let c21 = 0;
  let c22 = 0;
  let c23 = 0;
  let c30 = 0;
  let c31 = 0;
  let c32 = 0;
  let c33 = 0;
  for (let k = 0, p = aOffset, q = bOffset; k < length; k++, p += GROUP, q += GROUP) {
    const a0 = a[p] as number;
    const a1 = a[p + 1] as number;
    const a2 = a[p + 2] as number;
    const a3 = a[p + 3] as number;
    const b0 = b[q] as number;
    const b1 = b[q + 1] as number;
    const b2 = b[q + 2] as number;
    const b3 = b[q + 3] as number;
    c00 += a0 * b0;
    c01 += a0 * b1;
    c02 += a0 * b2;
    c03 += a0 * b3;
    c10 += a1 * b0;
    c11 += a1 * b1;
    c12 += a1 * b2;
    c13 += a1 * b3;
    c20 += a2 * b0;
    c21 += a2 * b1;
    c22 += a2 * b2;
    c23 += a2 * b3;
    c30 += a3 * b0;
    c31 += a3 * b1;
    c32 += a3 * b2;
    c33 += a3 * b3;
  }
  out[0] = c00;
  out[1] = c01;
  out[2] = c02;
  out[3] = c03;
  out[4] = c10;
  out[5] = c11;
  out[6] = c12;
  out[7] = c13;
  out[8] = c20;
  out[9] = c21;
  out[10] = c22;
  out[11] = c23;
  out[12] = c30;
  out[13] = c31;
  out[14] = c32;
  out[15] = c33;
};

/** Squared Euclidean distances, from the differences: equal vectors have distance 0 and near ones lose no digits. */
export const squaredDistances: TileKernel = (a, aOffset, b, bOffset, length, out) => {
  let c00 = 0;
  let c01 = 0;
  let c02 = 0;
  let c03 = 0;
  let c10 = 0;
  let c11 = 0;
  let c12 = 0;
  let c13 = 0;
  let c20 = 0;
  let c21 = 0;
  let c22 = 0;
  let c23 = 0;
  let c30 = 0;
  let c31 = 0;
  let c32 = 0;
  let c33 = 0;
  for (let k = 0, p = aOffset, q = bOffset; k < length; k++, p += GROUP, q += GROUP) {
    const a0 = a[p] as number;
    const a1 = a[p + 1] as number;
    const a2 = a[p + 2] as number;
    const a3 = a[p + 3] as number;
    const b0 = b[q] as number;
    const b1 = b[q + 1] as number;
    const b2 = b[q + 2] as number;
    const b3 = b[q + 3] as number;
    c00 += (a0 - b0) * (a0 - b0);
    c01 += (a0 - b1) * (a0 - b1);
    c02 += (a0 - b2) * (a0 - b2);
    c03 += (a0 - b3) * (a0 - b3);
    c10 += (a1 - b0) * (a1 - b0);
    c11 += (a1 - b1) * (a1 - b1);
    c12 += (a1 - b2) * (a1 - b2);
    c13 += (a1 - b3) * (a1 - b3);
    c20 += (a2 - b0) * (a2 - b0);
    c21 += (a2 - b1) * (a2 - b1);
    c22 += (a2 - b2) * (a2 - b2);
    c23 += (a2 - b3) * (a2 - b3);
    c30 += (a3 - b0) * (a3 - b0);
    c31 += (a3 - b1) * (a3 - b1);
    c32 += (a3 - b2) * (a3 - b2);
    c33 += (a3 - b3) * (a3 - b3);
  }
  out[0] = c00;
  out[1] = c01;
  out[2] = c02;
  out[3] = c03;
  out[4] = c10;
  out[5] = c11;
  out[6] = c12;
  out[7] = c13;
  out[8] = c20;
  out[9] = c21;
  out[10] = c22;
  out[11] = c23;
  out[12] = c30;
  out[13] = c31;
  out[14] = c32;
  out[15] = c33;
};
