import { alternate, type Subject } from '../alternate.ts';
import { type Bound, goal } from '../asked.ts';
import type { BenchConfig } from '../configs.ts';
import type { BenchDevice } from '../ours/bench-device.ts';
import { type Peer, type PreparedWork, peerFor, type Work } from '../peers/peer.ts';
import { type Precision, peerPrecision } from '../precision.ts';
import type { CaseResult, OurTiming, PeerTiming } from '../result.ts';
import { timing } from '../statistics.ts';

/** What the cases of a suite are made from and run with. */
export interface BenchContext {
  /** Which it is; threads and, where it is held to one, the instruction set of either side; the number format of ours. */
  readonly device: BenchDevice & { readonly threads: number };
  readonly precision: Precision;
  readonly configs: readonly BenchConfig[];
  readonly quick: boolean;
  readonly peers: readonly Peer[];
  /** Measured peak of multiply-adds in the number format in GFLOP/s, where it is known. */
  readonly peakGflops: number | undefined;
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
  /** Name of a peer that this suite needs beside those that were asked for, if any were. */
  readonly peer?: string;
  /** True for a suite that starts the command line tool, which chooses the instruction set itself. */
  readonly startsCommand?: boolean;
  /** True for a suite that measures the CPU and what is around it. */
  readonly cpuOnly?: boolean;
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
  /** Rest before each measurement, if the peer's threads need more than usual to go to sleep. */
  readonly settleMs?: number;
  readonly flops?: number;
  /** How much faster than the peer ours shall be, if that is asked. */
  readonly asked?: Bound | undefined;
}

/** Times ours and the peer that can do the work in turn, and makes a row of it. */
export async function compareWithPeer(
  { peers, precision, peakGflops }: BenchContext,
  comparison: Comparison,
): Promise<CaseResult> {
  const { suite, name, ours, work, rounds, settleMs, flops, asked } = comparison;
  const peer = peerFor(peers, work.kind);
  const prepared = await peer?.prepare(work);
  try {
    const times = await alternate(ours, prepared, { rounds, ...(settleMs !== undefined && { settleMs }) });
    const ourTiming = { ...timing(times.ours), peakBytes: ours.peakBytes };
    return {
      ...{ suite, name, precision, ours: ourTiming },
      ...(peer && prepared && peerSide(ourTiming, peerTiming(peer, prepared, precision, times.peer), asked)),
      ...(flops !== undefined && floatingPoint(flops, ourTiming, peakGflops)),
      otherCores: times.otherCores,
    };
  } finally {
    await prepared?.release();
  }
}

function peerTiming(
  { name, version }: Peer,
  { variant, tried = {} }: PreparedWork,
  precision: Precision,
  times: readonly number[],
): PeerTiming {
  return { name, version, variant, precision: peerPrecision(precision), tried, ...timing(times) };
}

/** The fields of a row that speak of the peer. @param asked of the ratio. */
export function peerSide(
  ours: OurTiming,
  peer: PeerTiming,
  asked: Bound | undefined,
): Pick<CaseResult, 'peer' | 'ratio' | 'goals'> {
  const ratio = peer.medianMs / ours.medianMs;
  return { peer, ratio, ...(asked && { goals: [goal('ratio', ratio, asked)] }) };
}

function floatingPoint(
  flops: number,
  ours: OurTiming,
  peakGflops: number | undefined,
): Pick<CaseResult, 'flops' | 'fractionOfPeak'> {
  if (peakGflops === undefined) return { flops };
  return { flops, fractionOfPeak: flops / (ours.medianMs * 1e6) / peakGflops };
}
