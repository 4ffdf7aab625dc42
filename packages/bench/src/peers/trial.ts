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
 * @throws the first failure when all fail.
 */
export async function tryVariants<Variant>(
  variants: readonly Variant[],
  nameOf: (variant: Variant) => string,
  prepare: (variant: Variant) => Promise<PreparedWork>,
  runs: number,
): Promise<Trial<Variant>> {
  const [only] = variants;
  if (only !== undefined && variants.length === 1) return { best: only, tried: {} };
  const tried: Record<string, number | string> = {};
  let best: { variant: Variant; ms: number } | undefined;
  let failure: unknown;
  for (const variant of variants) {
    try {
      const ms = await bestTime(await prepare(variant), runs);
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

/** Best of a few runs after one that warms up. */
async function bestTime(prepared: PreparedWork, runs: number): Promise<number> {
  const times: number[] = [];
  await prepared.run();
  for (let i = 0; i < runs; i++) times.push(await prepared.run());
  await prepared.release();
  return Math.min(...times);
}
