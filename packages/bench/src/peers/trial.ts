import { performance } from 'node:perf_hooks';
import { disturbedCores } from '../alternate.ts';
import { type Load, otherCores, withLoad } from '../load-meter.ts';
import type { PreparedWork, Tried } from './peer.ts';

/** What a trial found: the fastest variant, and what each took. */
export interface Trial<Variant> {
  readonly best: Variant;
  /** By name what each took in milliseconds, or why it failed. */
  readonly tried: Tried;
}

/**
 * Runs each variant shortly, one after the other. One that fails is out of the race.
 *
 * @param patient runs each for half a second at least, and again while other processes are busy.
 * @throws the first failure when all fail.
 */
export async function tryVariants<Variant>(
  variants: readonly Variant[],
  nameOf: (variant: Variant) => string,
  prepare: (variant: Variant) => Promise<PreparedWork>,
  patient: boolean,
): Promise<Trial<Variant>> {
  const [only] = variants;
  if (only !== undefined && variants.length === 1) return { best: only, tried: {} };
  const tried: Record<string, number | string> = {};
  let best: { variant: Variant; ms: number } | undefined;
  let failure: unknown;
  for (const variant of variants) {
    try {
      const ms = await bestTime(await prepare(variant), patient);
      tried[nameOf(variant)] = ms;
      if (!best || ms < best.ms) best = { variant, ms };
    } catch (error) {
      tried[nameOf(variant)] = (error as Error).message;
      failure ??= error;
    }
  }
  if (!best) throw failure;
  return { best: best.variant, tried };
}

const trialMs = 500;
const mostAttempts = 3;

/** Best of a few runs after one that warms up. */
async function bestTime(prepared: PreparedWork, patient: boolean): Promise<number> {
  const times: number[] = [];
  const loads: Load[] = [];
  await prepared.run();
  const attempt = async (): Promise<void> => {
    // What a run reports may be the time of one of many repeats.
    const end = performance.now() + trialMs;
    do times.push(await prepared.run());
    while (patient && performance.now() < end);
  };
  do {
    loads.push((await withLoad(prepared.pid, attempt)).load);
  } while (patient && loads.length < mostAttempts && otherCores(loads.slice(-1)) > disturbedCores);
  await prepared.release();
  return Math.min(...times);
}
