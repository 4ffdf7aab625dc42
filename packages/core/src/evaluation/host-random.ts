import { philox, splitSeed } from '../random/philox.ts';

/** Which random numbers: those of one sample, for one purpose. The counter is laid out as in the kernels. */
export interface HostStream {
  readonly seed: number;
  /** A value of `Purpose`. */
  readonly purpose: number;
  readonly step: number;
  readonly sample: number;
}

/** Calls `take` with the four words of each block of elements. */
function forEachBlock(
  count: number,
  { seed, purpose, step, sample }: HostStream,
  take: (words: readonly [number, number, number, number], first: number) => void,
): void {
  const key = splitSeed(seed);
  for (let first = 0; first < count; first += 4) take(philox(key, [first / 4, sample, step, purpose]), first);
}

/** Fills `target` with uniform numbers in (0, 1). */
export function fillUniform(target: Float64Array, stream: HostStream): void {
  forEachBlock(target.length, stream, (words, first) => {
    for (let j = 0; j < 4 && first + j < target.length; j++) target[first + j] = ((words[j] as number) + 0.5) / 2 ** 32;
  });
}

/** Fills `target` with standard normal numbers (Box and Muller), in float64. */
export function fillNormal(target: Float32Array | Float64Array, stream: HostStream): void {
  forEachBlock(target.length, stream, (words, first) => {
    for (let j = 0; j < 4 && first + j < target.length; j++) {
      const pair = j - (j % 2);
      const radius = Math.sqrt(-2 * Math.log(((words[pair] as number) + 0.5) / 2 ** 32));
      const angle = (2 * Math.PI * (words[pair + 1] as number)) / 2 ** 32;
      target[first + j] = radius * (j % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
    }
  });
}

/** Fills `target` with -1 and 1, each with probability 1/2 (Rademacher). */
export function fillSigns(target: Float32Array | Float64Array, stream: HostStream): void {
  forEachBlock(target.length, stream, (words, first) => {
    for (let j = 0; j < 4 && first + j < target.length; j++) target[first + j] = (words[j] as number) >>> 31 ? 1 : -1;
  });
}
