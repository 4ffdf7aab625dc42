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
  /** Of attention. */
  readonly headChannels?: number;
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

/** The width of a multiprocessor's way to the second-level cache. */
const bytesPerCycle = 64;

/**
 * Predicts a call from the roofline (Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785): what multiply-adds or
 * memory take at the designed part of the peak, whichever is more. Multiply-adds are stretched where multiprocessors are idle, see
 * `unevenness`; bytes where there are so few blocks that those that have one cannot load as fast as memory delivers. What
 * goes through scratch is written and read besides, by launches that wait for each other.
 */
export function predict(call: PaperCall, gpu: Gpu, resourcesOf: (entry: string) => EntryResources): Prediction {
  const main = mainLaunch(call, resourcesOf);
  const { registers, sharedBytes } = resourcesOf(main.entry);
  const block = { threads: main.threads, registers, sharedBytes: sharedBytes + main.sharedBytes };
  const waves = main.blocks / (gpu.multiprocessors * Math.max(1, residentBlocks(gpu, block)));
  const operations = call.computed * repeatedWork(call, main);
  const compute = (operations / (peakTflops(main, gpu) * 1e9 * designed.compute)) * unevenness(main, gpu, waves);
  const busy = Math.min(gpu.multiprocessors, main.blocks);
  const gigabytes = Math.min(gpu.memoryGBs * designed.memory, busy * bytesPerCycle * gpu.clockGHz);
  const memoryMs = (bytes: number): number => bytes / (gigabytes * 1e6);
  const memory = memoryMs(call.bytes);
  return {
    ms: Math.max(compute, memory) + memoryMs(2 * call.scratchBytes) + launchMs * call.launches.length,
    bound: compute > memory ? 'compute' : 'memory',
    occupancy: occupancy(gpu, block),
    waves,
  };
}

/**
 * What the multiprocessor with the most to do has over the mean. The last wave counts as a whole one. Where all blocks run at once,
 * one alone is taken to keep its multiprocessor as busy as many would.
 */
function unevenness({ blocks }: Launch, { multiprocessors }: Gpu, waves: number): number {
  const rounds = waves > 1 ? waves : blocks / multiprocessors;
  return Math.ceil(rounds) / rounds;
}

/** What an entry multiplies by: images of bf16 by the matrix unit, but for attention of large heads; float32 as tf32 there, if asked. */
function peakTflops({ entry }: Launch, gpu: Gpu): number {
  if (entry.includes('_tf32')) return (gpu.bf16Tflops * gpu.reachable) / 2;
  return entry.endsWith('_bf16') && !entry.includes('_vector_') ? gpu.bf16Tflops * gpu.reachable : gpu.fp32Tflops;
}

/**
 * What is multiplied over what the op is defined by. The backward pass of attention has two kernels, both of which compute the scores
 * and their gradients: seven products instead of five. Those blocks that own a slice of the columns of larger heads do so, too.
 */
function repeatedWork({ kernel, headChannels = 0 }: PaperCall, { entry }: Launch): number {
  const [, unit, columns = '1'] = /_(matrix|vector)_(\d+)_/.exec(entry) ?? [];
  const slices = Math.ceil(headChannels / Number(columns));
  if (kernel === 'attention_forward') return unit === 'vector' ? (slices + 1) / 2 : 1;
  if (kernel !== 'attention_backward') return 1;
  const [ofKeys, ofQueries] = unit === 'vector' ? [slices, slices] : [Number(columns) > 128 ? 2 : 1, 1];
  return (2 * ofKeys + 2 + 2 * ofQueries + 1) / 5;
}

/** What most of a call is done by: products take the most shared memory a block, what moves bytes the most threads. */
function mainLaunch({ flops, launches }: PaperCall, resourcesOf: (entry: string) => EntryResources): Launch {
  const weight = ({ entry, blocks, threads, sharedBytes }: Launch): number =>
    flops > 0 ? resourcesOf(entry).sharedBytes + sharedBytes : threads * blocks;
  return launches.reduce((a, b) => (weight(b) > weight(a) ? b : a));
}
