import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** Linux counts CPU time in hundredths of a second, on every architecture that Node.js runs on. */
const ticksPerSecond = 100;

/** CPU time that was used between two moments. */
export interface Load {
  readonly seconds: number;
  /** Core-seconds used by processes other than the one that was being measured, or stolen by the hypervisor. */
  readonly otherCoreSeconds: number;
}

/** Average number of cores that others kept busy. */
export function otherCores(loads: readonly Load[]): number {
  const seconds = loads.reduce((sum, load) => sum + load.seconds, 0);
  return seconds > 0 ? loads.reduce((sum, load) => sum + load.otherCoreSeconds, 0) / seconds : 0;
}

/**
 * Runs `body` and tells what the rest of the machine did meanwhile. A peer that still spins while we are measured, or the
 * reverse, counts as the rest. Where there is no `/proc` (not Linux) the load is 0: it is not known.
 *
 * @param pid process that is being measured.
 */
export async function withLoad<T>(pid: number, body: () => Promise<T>): Promise<{ value: T; load: Load }> {
  const begin = performance.now();
  const before = busyTicks();
  const ownBefore = processTicks(pid);
  const value = await body();
  const seconds = (performance.now() - begin) / 1000;
  const ticks = busyTicks() - before - (processTicks(pid) - ownBefore);
  return { value, load: { seconds, otherCoreSeconds: Math.max(0, ticks / ticksPerSecond) } };
}

/** Ticks of all processes: user, nice, system, interrupts and stolen time. */
function busyTicks(): number {
  const line = readProc('/proc/stat').split('\n')[0] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return user + nice + system + irq + softirq + steal;
}

/** Ticks of one process with all its threads; 0 when it is gone. */
function processTicks(pid: number): number {
  // The name in parentheses may hold spaces; user and system time are the 12th and 13th fields after it.
  const fields = readProc(`/proc/${pid}/stat`).split(')').at(-1)?.trim().split(' ') ?? [];
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

/** Largest resident memory that a process had so far, in bytes; 0 when it is gone or the system does not tell. */
export function peakResidentBytes(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB/m.exec(readProc(`/proc/${pid}/status`));
  return Number(match?.[1] ?? 0) * 1024;
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
