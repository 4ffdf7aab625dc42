import { setTimeout as sleep } from 'node:timers/promises';
import { type Load, otherCores, withLoad } from './load-meter.ts';

/** Something that can be timed again and again. */
export interface Subject {
  /** The process that computes. */
  readonly pid: number;
  /** Does the work once and tells how long it took, in milliseconds. */
  readonly run: () => Promise<number>;
}

/** Options of {@link alternate}. */
export interface AlternateOptions {
  /** Measurements of each side. */
  readonly rounds: number;
  /** Milliseconds of rest before each measurement, so that the other side's workers have gone to sleep. */
  readonly settleMs?: number;
  /** False where the work is done by processes that come and go, so that others' load cannot be told from theirs. */
  readonly judgeLoad?: boolean;
}

/** Times of both sides in milliseconds, round by round. */
export interface Alternation {
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  /** Cores that others kept busy during these rounds. */
  readonly otherCores: number;
}

/** Above this many cores used by others, a measurement is repeated. */
export const disturbedCores = 0.1;

/** CPU time is counted in hundredths of a second, so that the load of a shorter time means nothing. */
const blockSeconds = 0.5;

interface Block {
  readonly ours: number[];
  readonly peer: number[];
  readonly loads: Load[];
}

/**
 * Times ours, the peer, ours, the peer … after one unmeasured run of each, so that both see the same machine. Rounds during which
 * other processes were busy are set aside and repeated, at most as many as were asked for; if too few are left undisturbed, all
 * count and `otherCores` says so.
 */
export async function alternate(
  ours: Subject,
  peer: Subject | undefined,
  { rounds, settleMs = 25, judgeLoad = true }: AlternateOptions,
): Promise<Alternation> {
  const measure = async (subject: Subject, times: number[], loads: Load[]): Promise<void> => {
    await sleep(settleMs);
    const { value, load } = await withLoad(subject.pid, subject.run);
    times.push(value);
    loads.push(load);
  };
  await ours.run();
  await peer?.run();

  const blocks: Block[] = [];
  let open: Block = { ours: [], peer: [], loads: [] };
  const quiet = (block: Block): boolean => !judgeLoad || otherCores(block.loads) <= disturbedCores;
  const count = (some: readonly Block[]): number => some.reduce((sum, block) => sum + block.ours.length, 0);
  while (count(blocks.filter(quiet)) < rounds && count(blocks) < 2 * rounds) {
    await measure(ours, open.ours, open.loads);
    if (peer) await measure(peer, open.peer, open.loads);
    const seconds = open.loads.reduce((sum, load) => sum + load.seconds, 0);
    const enough = count([...blocks.filter(quiet), open]) >= rounds || count([...blocks, open]) >= 2 * rounds;
    if (seconds < blockSeconds && !enough) continue;
    blocks.push(open);
    open = { ours: [], peer: [], loads: [] };
  }
  const undisturbed = blocks.filter(quiet);
  const used = 2 * count(undisturbed) >= rounds ? undisturbed : blocks;
  return {
    ours: used.flatMap((block) => block.ours),
    peer: used.flatMap((block) => block.peer),
    otherCores: otherCores(used.flatMap((block) => block.loads)),
  };
}
