import { readFile } from 'node:fs/promises';

/** One launch of a kernel's entry, as the driver was asked for it. */
export interface Launch {
  /** E.g. `silu_forward_bf16`. */
  readonly entry: string;
  readonly blocks: number;
  readonly threads: number;
  /** Dynamic shared memory of a block in bytes. */
  readonly sharedBytes: number;
}

/** A line of the record of launches that the stand-in driver keeps (`CUDA_SIMULATOR_TRAFFIC`). */
interface TrafficLine {
  readonly kernel: string;
  readonly grid: readonly number[];
  readonly block: readonly number[];
  readonly dynamic_shared_bytes: number;
}

/**
 * The launches of each profiled call. The stopwatch records an event before and after every call, so that launches between two events
 * belong together; groups without a launch are left out.
 *
 * @param log file of the stand-in driver's calls in order (`CUDA_SIMULATOR_LOG`).
 * @param traffic file of its launches in the order of one stream (`CUDA_SIMULATOR_TRAFFIC`).
 */
export async function readLaunches(log: string, traffic: string): Promise<readonly (readonly Launch[])[]> {
  const launches = (await linesOf(traffic)).map((line) => launchOf(JSON.parse(line) as TrafficLine));
  const groups: Launch[][] = [[]];
  let next = 0;
  for (const line of await linesOf(log)) {
    const [, call] = line.split(' ');
    if (call === 'cuEventRecord') groups.push([]);
    const launch = call === 'cuLaunchKernel' ? launches[next++] : undefined;
    if (launch) groups.at(-1)?.push(launch);
  }
  return groups.filter((group) => group.length > 0);
}

async function linesOf(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
}

function launchOf({ kernel, grid, block, dynamic_shared_bytes: sharedBytes }: TrafficLine): Launch {
  const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
  return { entry: kernel, blocks: product(grid), threads: product(block), sharedBytes };
}
