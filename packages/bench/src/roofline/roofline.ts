import type { KernelCost } from './kernel-cost.ts';

/** One kernel call: how long it took and what it had to do. */
export interface MeasuredCall extends KernelCost {
  readonly kernel: string;
  /** See `callShape`. */
  readonly shape: string;
  readonly timeMs: number;
}

/** What the machine can do. */
export interface Ceilings {
  /** Multiply-adds in the number format, in GFLOP/s. */
  readonly peakGflops: number;
  /** Bytes read and written in GB/s. */
  readonly memoryGBs: number;
}

/** Calls that are told together. */
export interface RooflineRow {
  readonly name: string;
  readonly calls: number;
  readonly timeMs: number;
  /** Time of the row over that of all calls. */
  readonly share: number;
  /**
   * Sum of the floors of its calls: what multiply-adds or memory alone would take, whichever is more. A call whose tensors are still
   * in the caches can be faster.
   */
  readonly floorMs: number;
  /** Which of the two the larger part of the floor is. */
  readonly bound: 'compute' | 'memory';
  /** Floating-point operations by definition over the time, in GFLOP/s: above the peak where Winograd's algorithm saves some. */
  readonly gflops: number;
}

/** Puts calls together by a name and holds their time against their floor; the longest first. */
export function roofline(
  calls: readonly MeasuredCall[],
  ceilings: Ceilings,
  nameOf: (call: MeasuredCall) => string,
): readonly RooflineRow[] {
  const total = sum(calls, ({ timeMs }) => timeMs);
  return [...groupBy(calls, nameOf)]
    .map(([name, group]) => {
      const timeMs = sum(group, (call) => call.timeMs);
      const compute = sum(group, (call) => (isComputeBound(call, ceilings) ? floorMs(call, ceilings) : 0));
      const floor = sum(group, (call) => floorMs(call, ceilings));
      return {
        ...{ name, calls: group.length, timeMs, share: timeMs / total, floorMs: floor },
        bound: 2 * compute > floor ? ('compute' as const) : ('memory' as const),
        gflops: sum(group, ({ flops }) => flops) / (timeMs * 1e6),
      };
    })
    .sort((a, b) => b.timeMs - a.timeMs);
}

/** Milliseconds that a call takes at least. */
export function floorMs(call: KernelCost, ceilings: Ceilings): number {
  return Math.max(computeMs(call, ceilings), memoryMs(call, ceilings));
}

function isComputeBound(call: KernelCost, ceilings: Ceilings): boolean {
  return computeMs(call, ceilings) > memoryMs(call, ceilings);
}

function computeMs({ computed }: KernelCost, { peakGflops }: Ceilings): number {
  return computed / (peakGflops * 1e6);
}

function memoryMs({ bytes }: KernelCost, { memoryGBs }: Ceilings): number {
  return bytes / (memoryGBs * 1e6);
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

function groupBy(calls: readonly MeasuredCall[], nameOf: (call: MeasuredCall) => string): Map<string, MeasuredCall[]> {
  const groups = new Map<string, MeasuredCall[]>();
  for (const call of calls) {
    const name = nameOf(call);
    const group = groups.get(name);
    if (group) group.push(call);
    else groups.set(name, [call]);
  }
  return groups;
}
