import type { Tensor64 } from '../op-case.ts';
import { tensor64 } from '../op-case.ts';

/** Which random numbers: the words of key and counter that do not depend on the element. */
export interface ReferenceStream {
  readonly seedLow: number;
  readonly seedHigh: number;
  readonly step: number;
  readonly purpose: number;
  readonly sampleOffset: number;
}

const mask = 0xffffffffn;

/** Philox4x32-10 in integers of any size, straight from Salmon et al. 2011, section 3.3. */
export function referencePhilox(key: readonly [number, number], counter: readonly number[]): number[] {
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}

/** The upper 24 bits of the words of every element of a tensor [N, ...]. */
function integers(shape: readonly number[], stream: ReferenceStream): Float64Array {
  const { seedLow, seedHigh, step, purpose, sampleOffset } = stream;
  const N = shape[0] as number;
  const E = shape.slice(1).reduce((product, size) => product * size, 1);
  const padded = 4 * Math.ceil(E / 4);
  const words = new Float64Array(N * padded);
  for (let n = 0; n < N; n++) {
    for (let e = 0; e < padded; e += 4) {
      const block = referencePhilox([seedLow, seedHigh], [e / 4, sampleOffset + n, step, purpose]);
      block.forEach((word, j) => {
        words[n * padded + e + j] = word >>> 8;
      });
    }
  }
  return words;
}

function everyElement(shape: readonly number[], value: (slot: number) => number): Tensor64 {
  const E = shape.slice(1).reduce((product, size) => product * size, 1);
  const padded = 4 * Math.ceil(E / 4);
  return tensor64(shape, (i) => value(Math.floor(i / E) * padded + (i % E)));
}

/** Uniform numbers in [0, 1). */
export function referenceUniform(shape: readonly number[], stream: ReferenceStream): Tensor64 {
  const words = integers(shape, stream);
  return everyElement(shape, (slot) => (words[slot] as number) / 2 ** 24);
}

/** Standard normal numbers, by the Box-Muller transform in float64. */
export function referenceNormal(shape: readonly number[], stream: ReferenceStream): Tensor64 {
  const words = integers(shape, stream);
  return everyElement(shape, (slot) => {
    const even = slot - (slot % 2);
    const radius = Math.sqrt(-2 * Math.log(((words[even] as number) + 1) / 2 ** 24));
    const angle = (2 * Math.PI * (words[even + 1] as number)) / 2 ** 24;
    return radius * (slot % 2 ? Math.sin(angle) : Math.cos(angle));
  });
}
