import type { Dataset } from '@diffuse/core';

/** Samples in memory, one after the other. */
export interface InMemory<Data extends Float32Array | Int32Array | Uint8Array> extends Dataset {
  /** [count, ...shape] */
  readonly data: Data;
}

/** A data set for `train` from an array of `data.length / (product of shape)` samples. */
export function inMemory<Data extends Float32Array | Int32Array | Uint8Array>(
  data: Data,
  shape: readonly number[],
): InMemory<Data> {
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    data,
    shape,
    dtype: data instanceof Float32Array ? 'f32' : data instanceof Int32Array ? 'i32' : 'u8',
    count: data.length / size,
    fingerprint: `${data.length} numbers in memory`,
    async read(indices, target) {
      for (const [row, index] of indices.entries()) {
        target.set(data.subarray(index * size, (index + 1) * size), row * size);
      }
    },
  };
}
