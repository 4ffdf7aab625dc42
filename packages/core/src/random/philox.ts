import { DiffuseError } from '../native/errors.ts';

/** Two uint32: the low and the high half of a seed. */
export type PhiloxKey = readonly [lo: number, hi: number];

/** Four uint32. The native code lays them out as (block of four elements, sample index, step, purpose). */
export type PhiloxCounter = readonly [c0: number, c1: number, c2: number, c3: number];

/** Four uint32, each uniform in [0, 2^32). */
export type PhiloxBlock = [number, number, number, number];

/**
 * What random numbers are for: the last word of the counter, so that no two uses of one seed share a number. The native
 * code has the same list.
 */
export const Purpose: Readonly<{
  init: 1;
  timestep: 2;
  noise: 3;
  flip: 4;
  dropout: 5;
  shuffle: 6;
  sampleStart: 7;
  sampleStep: 8;
  offsetNoise: 9;
  evaluationNoise: 10;
  evaluationTimestep: 11;
  dequantisation: 12;
  probe: 13;
  sampleGiven: 14;
  dropClass: 15;
  selfConditioning: 16;
}> = {
  init: 1,
  timestep: 2,
  noise: 3,
  flip: 4,
  dropout: 5,
  shuffle: 6,
  sampleStart: 7,
  sampleStep: 8,
  offsetNoise: 9,
  evaluationNoise: 10,
  evaluationTimestep: 11,
  dequantisation: 12,
  probe: 13,
  sampleGiven: 14,
  dropClass: 15,
  selfConditioning: 16,
};

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_32 = 2 ** 32;

/** High 32 bits of the 64-bit product of two uint32. Halves of 16 bits keep every partial product exact in float64. */
function multiplyHigh(a: number, b: number): number {
  const bLo = b & 0xffff;
  const bHi = b >>> 16;
  const low = a * bLo; // below 2^48
  const high = a * bHi + Math.floor(low / 0x10000); // below 2^49
  return Math.floor(high / 0x10000);
}

/**
 * Philox4x32-10, a counter-based random number generator (Salmon et al. 2011, "Parallel random numbers: as easy as
 * 1, 2, 3", doi:10.1145/2063384.2063405): a block of random numbers is a pure function of key and counter.
 */
export function philox(key: PhiloxKey, counter: PhiloxCounter): PhiloxBlock {
  let [k0, k1] = key;
  let [c0, c1, c2, c3] = counter;
  for (let round = 0; round < ROUNDS; round++) {
    const hi0 = multiplyHigh(MULTIPLIER_0, c0);
    const lo0 = Math.imul(MULTIPLIER_0, c0);
    const hi1 = multiplyHigh(MULTIPLIER_1, c2);
    const lo1 = Math.imul(MULTIPLIER_1, c2);
    c0 = (hi1 ^ c1 ^ k0) >>> 0;
    c1 = lo1 >>> 0;
    c2 = (hi0 ^ c3 ^ k1) >>> 0;
    c3 = lo0 >>> 0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * The Philox key of a seed.
 *
 * @param seed an integer from 0 to 2^53 - 1.
 * @throws DiffuseError ERR_ARGUMENT for any other.
 */
export function splitSeed(seed: number | bigint): PhiloxKey {
  const value = typeof seed === 'bigint' ? Number(seed) : seed;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new DiffuseError('ERR_ARGUMENT', `seed must be an integer from 0 to 2^53 - 1, got ${String(seed)}`);
  }
  return [value >>> 0, Math.floor(value / TWO_32)];
}

/** Endless uint32 numbers of one seed, step and purpose, in the order of their blocks. */
function* uint32Stream(key: PhiloxKey, step: number, purpose: number): Generator<number, never> {
  for (let block = 0; ; block++) yield* philox(key, [block >>> 0, 0, step, purpose]);
}

/** A uniform integer in [0, bound), bound <= 2^32, by rejecting the numbers of the incomplete last round. */
function uniformBelow(stream: Generator<number, never>, bound: number): number {
  const limit = TWO_32 - (TWO_32 % bound);
  for (;;) {
    const { value } = stream.next();
    if (value < limit) return value % bound;
  }
}

/**
 * A uniform shuffle of 0 … count - 1 (Fisher and Yates), the same for the same seed and epoch on every machine.
 *
 * @param seed an integer from 0 to 2^53 - 1.
 * @param epoch an integer from 0 to 2^32 - 1; every epoch has its own shuffle.
 * @param count number of elements, 0 … 2^31 - 1.
 * @throws DiffuseError ERR_ARGUMENT for a value out of range.
 */
export function permutation(seed: number | bigint, epoch: number, count: number): Int32Array {
  if (!Number.isInteger(epoch) || epoch < 0 || epoch >= TWO_32) {
    throw new DiffuseError('ERR_ARGUMENT', `epoch must be an integer from 0 to 2^32 - 1, got ${String(epoch)}`);
  }
  if (!Number.isInteger(count) || count < 0 || count >= 2 ** 31) {
    throw new DiffuseError('ERR_ARGUMENT', `count must be an integer from 0 to 2^31 - 1, got ${String(count)}`);
  }
  const stream = uint32Stream(splitSeed(seed), epoch, Purpose.shuffle);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = uniformBelow(stream, i + 1);
    const moved = order[i] as number;
    order[i] = order[j] as number;
    order[j] = moved;
  }
  return order;
}
