import { alternate, type Subject } from '../alternate.ts';
import type { BenchConfig } from '../configs.ts';
import type { Peer, PreparedWork, Work } from '../peers/peer.ts';
import type { CaseResult, OurTiming, PeerTiming } from '../result.ts';
import { timing } from '../statistics.ts';

/** What the cases of a suite are made from and run with. */
export interface BenchContext {
  readonly threads: number;
  readonly configs: readonly BenchConfig[];
  readonly quick: boolean;
  readonly peer: Peer | undefined;
  /** Measured peak of multiply-adds in GFLOP/s, where it is known. */
  readonly fmaGflops: number | undefined;
}

/** One row to be. */
export interface BenchCase {
  readonly name: string;
  /** @throws when ours or the peer fails; the run goes on with the next case. */
  measure(): Promise<CaseResult>;
}

/** A group of cases that can be asked for by name. */
export interface Suite {
  readonly name: string;
  readonly description: string;
  /** True for a suite that takes so long that it is run only when asked for. */
  readonly byNameOnly?: boolean;
  cases(context: BenchContext): readonly BenchCase[];
}

/** Our side of a comparison. */
export interface OurSubject extends Subject {
  readonly peakBytes: number;
}

/** What {@link compareWithPeer} needs. */
export interface Comparison {
  readonly suite: string;
  readonly name: string;
  readonly ours: OurSubject;
  /** What the peer does. */
  readonly work: Work;
  readonly rounds: number;
  readonly flops?: number;
}

/** Times ours and the peer in turn and makes a row of it. */
export async function compareWithPeer({ peer, fmaGflops }: BenchContext, comparison: Comparison): Promise<CaseResult> {
  const { suite, name, ours, work, rounds, flops } = comparison;
  const prepared = await peer?.prepare(work);
  try {
    const times = await alternate(ours, prepared, { rounds });
    const ourTiming = { ...timing(times.ours), peakBytes: ours.peakBytes };
    return {
      suite,
      name,
      precision: 'fp32',
      ours: ourTiming,
      ...(peer && prepared && peerSide(ourTiming, peerTiming(peer, prepared, times.peer))),
      ...(flops !== undefined && floatingPoint(flops, ourTiming, fmaGflops)),
      otherCores: times.otherCores,
    };
  } finally {
    await prepared?.release();
  }
}

function peerTiming({ name, version }: Peer, { variant }: PreparedWork, times: readonly number[]): PeerTiming {
  return { name, version, variant, ...timing(times) };
}

/** The fields of a row that speak of the peer. */
export function peerSide(ours: OurTiming, peer: PeerTiming): Pick<CaseResult, 'peer' | 'ratio'> {
  return { peer, ratio: peer.medianMs / ours.medianMs };
}

function floatingPoint(
  flops: number,
  ours: OurTiming,
  fmaGflops: number | undefined,
): Pick<CaseResult, 'flops' | 'fractionOfPeak'> {
  if (fmaGflops === undefined) return { flops };
  return { flops, fractionOfPeak: flops / (ours.medianMs * 1e6) / fmaGflops };
}
