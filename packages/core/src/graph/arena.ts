import type { StorageType } from './storage.ts';

/** A place in a named buffer: a device buffer, or a transient one (`PlanOptions`); `offset` in elements. */
export interface Placement {
  readonly buffer: string;
  readonly offset: number;
}

/** Bytes of an element. */
export const bytesPerElement: Readonly<Record<StorageType, number>> = { f32: 4, i32: 4, u8: 1, bf16: 2 };
/** Blocks begin at multiples of so many bytes, a cache line. */
export const alignment = 64;

/** A stretch of the arena, alive from call `begin` to call `end`, both inclusive. */
export interface Block {
  readonly bytes: number;
  begin: number;
  end: number;
  offset: number;
}

/** Buffers that lie in the arena. */
export interface Regions {
  /** Blocks at fixed offsets, in their order. */
  readonly blocks: readonly Block[];
  /** Where a buffer begins, in bytes; undefined if it is none of these. */
  begin(buffer: string): number | undefined;
  /** Says that `count` elements from `place` on are used by the call `time`. */
  touch(place: Placement, count: number, time: number): void;
}

/** A placement and its extent. */
export type Written = Placement & { readonly count: number };

/**
 * Lays the buffers one after the other from the beginning of the arena on, cut where what is written begins and ends. What is never
 * written is alive all the time: nothing else comes to lie there, and so it stays 0 as the arena is at first.
 *
 * @param calls number of calls.
 */
export function transientRegions(
  transient: Readonly<Record<string, number>>,
  written: readonly Written[],
  calls: number,
): Regions {
  const begins = new Map<string, number>();
  const blocks: Block[] = [];
  let size = 0;
  for (const [buffer, elements] of Object.entries(transient)) {
    begins.set(buffer, size);
    const cuts = new Set([0, elements]);
    const own = written.filter((place) => place.buffer === buffer);
    for (const { offset, count } of own) cuts.add(offset).add(offset + count);
    const sorted = [...cuts].sort((a, b) => a - b);
    for (const [i, from] of sorted.slice(0, -1).entries()) {
      const bytes = ((sorted[i + 1] as number) - from) * bytesPerElement.f32;
      const isWritten = own.some(({ offset, count }) => offset <= from && from < offset + count);
      const alive = isWritten ? { begin: calls, end: -1 } : { begin: -1, end: calls };
      blocks.push({ bytes, offset: size + from * bytesPerElement.f32, ...alive });
    }
    size += Math.ceil((elements * bytesPerElement.f32) / alignment) * alignment;
  }
  return {
    blocks,
    begin: (buffer) => begins.get(buffer),
    touch({ buffer, offset }, count, time) {
      const start = begins.get(buffer);
      if (start === undefined) return;
      const [from, to] = [offset, offset + count].map((element) => start + element * bytesPerElement.f32) as [
        number,
        number,
      ];
      for (const block of blocks) {
        if (block.offset < from || block.offset >= to) continue;
        block.begin = Math.min(block.begin, time);
        block.end = Math.max(block.end, time);
      }
    },
  };
}

/** Orders to pack blocks in: the largest first, the longest alive first, by their beginning. */
const orders: readonly ((a: Block, b: Block) => number)[] = [
  (a, b) => b.bytes - a.bytes || a.begin - b.begin,
  (a, b) => b.end - b.begin - (a.end - a.begin) || b.bytes - a.bytes,
  (a, b) => a.begin - b.begin || b.bytes - a.bytes,
];

/** Packing that takes so many times the least possible is good enough. */
const goodEnough = 1.02;

/**
 * Packs blocks into one arena, around those whose offset is `fixed`. Returns the size of the arena. Offline bin packing is NP-hard: this
 * is the best of a few greedy orders, on U-Nets within a few per cent of the bound `largestLive`.
 *
 * @param live that bound.
 */
export function pack(blocks: readonly Block[], fixed: readonly Block[], live: number): number {
  let best: { size: number; offsets: readonly number[] } | undefined;
  for (const order of orders) {
    const size = packInOrder([...blocks].sort(order), fixed);
    if (best === undefined || size < best.size) best = { size, offsets: blocks.map(({ offset }) => offset) };
    if (best.size <= live * goodEnough) break;
  }
  best?.offsets.forEach((offset, i) => {
    (blocks[i] as Block).offset = offset;
  });
  return best?.size ?? 0;
}

/** Puts each block at the lowest offset where it meets no block alive at the same time. */
function packInOrder(blocks: readonly Block[], fixed: readonly Block[]): number {
  const placed = [...fixed]; // sorted by offset
  let size = Math.max(0, ...fixed.map(({ offset, bytes }) => offset + bytes));
  for (const block of blocks) {
    let offset = 0;
    for (const other of placed) {
      if (other.end < block.begin || other.begin > block.end) continue;
      if (other.offset - offset >= block.bytes) break;
      offset = Math.max(offset, Math.ceil((other.offset + other.bytes) / alignment) * alignment);
    }
    block.offset = offset;
    const position = placed.findIndex((other) => other.offset > offset);
    placed.splice(position < 0 ? placed.length : position, 0, block);
    size = Math.max(size, offset + block.bytes);
  }
  return size;
}

/** The largest sum of sizes alive at one moment. */
export function largestLive(blocks: readonly Block[], calls: number): number {
  const change = new Float64Array(calls + 3);
  for (const { begin, end, bytes } of blocks) {
    change[begin + 1] = (change[begin + 1] ?? 0) + bytes;
    change[end + 2] = (change[end + 2] ?? 0) - bytes;
  }
  let live = 0;
  let largest = 0;
  for (const delta of change) {
    live += delta;
    largest = Math.max(largest, live);
  }
  return largest;
}
