import type { KernelCost } from '../roofline/kernel-cost.ts';
import type { Gpu } from './gpus.ts';
import type { Launch } from './launches.ts';
import { occupancy, residentBlocks } from './occupancy.ts';

/** What ptxas says of an entry on one architecture. */
export interface EntryResources {
  readonly registers: number;
  /** Static shared memory of a block in bytes. */
  readonly sharedBytes: number;
}

/** A kernel call on paper: what it has to do, and what is launched for it. */
export interface PaperCall extends KernelCost {
  readonly kernel: string;
  /** See `callShape`. */
  readonly shape: string;
  /** Whether the matrix unit multiplies: images are bf16. */
  readonly matrixUnit: boolean;
  readonly launches: readonly Launch[];
  /** What its launches pass to each other. */
  readonly scratchBytes: number;
}

/** What a call would take. */
export interface Prediction {
  readonly ms: number;
  readonly bound: 'compute' | 'memory';
  /** Of the main launch, see `mainLaunch`: warps held over warps that fit. */
  readonly occupancy: number;
  /** Of the main launch: how often all multiprocessors are filled. */
  readonly waves: number;
}

/** What the kernels are designed to reach of either ceiling. */
export const designed = { compute: 0.7, memory: 0.85 };

/** From the end of one kernel to the begin of the next in a replayed graph of launches. */
const launchMs = 1.5e-3;

/**
 * Predicts a call from the roofline (Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785): what multiply-adds or
 * memory take at the designed part of the peak, whichever is more, stretched where the last wave of blocks leaves multiprocessors
 * idle. What goes through scratch is written and read besides, by launches that wait for each other.
 */
export function predict(call: PaperCall, gpu: Gpu, resourcesOf: (entry: string) => EntryResources): Prediction {
  const main = mainLaunch(call, resourcesOf);
  const { registers, sharedBytes } = resourcesOf(main.entry);
  const block = { threads: main.threads, registers, sharedBytes: sharedBytes + main.sharedBytes };
  const waves = main.blocks / (gpu.multiprocessors * Math.max(1, residentBlocks(gpu, block)));
  const peak = (call.matrixUnit ? gpu.bf16Tflops * gpu.reachable : gpu.fp32Tflops) * 1e9;
  const compute = (call.flops / (peak * designed.compute)) * (Math.ceil(waves) / waves);
  const memoryMs = (bytes: number): number => bytes / (gpu.memoryGBs * 1e6 * designed.memory);
  const memory = memoryMs(call.bytes);
  return {
    ms: Math.max(compute, memory) + memoryMs(2 * call.scratchBytes) + launchMs * call.launches.length,
    bound: compute > memory ? 'compute' : 'memory',
    occupancy: occupancy(gpu, block),
    waves,
  };
}

/** What most of a call is done by: products take the most registers a block, what moves bytes the most threads. */
function mainLaunch({ flops, launches }: PaperCall, resourcesOf: (entry: string) => EntryResources): Launch {
  const weight = ({ entry, blocks, threads }: Launch): number =>
    threads * (flops > 0 ? resourcesOf(entry).registers : blocks);
  return launches.reduce((a, b) => (weight(b) > weight(a) ? b : a));
}
