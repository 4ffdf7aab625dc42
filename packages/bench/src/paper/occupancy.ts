import type { Gpu } from './gpus.ts';

/** What a block of a kernel takes. */
export interface BlockResources {
  readonly threads: number;
  /** Of one thread. */
  readonly registers: number;
  readonly sharedBytes: number;
}

const warpSize = 32;
/** Of one multiprocessor; handed out to warps in units of 256. */
const registerFile = 65536;
const registerUnit = 256;
/** Shared memory that the system takes of every block, and the unit in which it is handed out. */
const sharedReserved = 1024;
const sharedUnit = 128;

/** Blocks that a multiprocessor holds at once; 0 where one does not fit. CUDA C++ Programming Guide, "Compute capabilities". */
export function residentBlocks(gpu: Gpu, { threads, registers, sharedBytes }: BlockResources): number {
  const warps = Math.ceil(threads / warpSize);
  const ofWarp = Math.ceil((registers * warpSize) / registerUnit) * registerUnit;
  const byRegisters = Math.floor(Math.floor(registerFile / ofWarp) / warps);
  const shared = Math.ceil((sharedBytes + sharedReserved) / sharedUnit) * sharedUnit;
  return Math.min(gpu.blocks, Math.floor(gpu.warps / warps), byRegisters, Math.floor(gpu.sharedBytes / shared));
}

/** Warps that a multiprocessor holds over those that it could hold, where there are blocks enough. */
export function occupancy(gpu: Gpu, block: BlockResources): number {
  return (residentBlocks(gpu, block) * Math.ceil(block.threads / warpSize)) / gpu.warps;
}
