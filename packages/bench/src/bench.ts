import type { RunRequest } from './arguments.ts';
import { measurePeak } from './ceilings.ts';
import { selectConfigs } from './configs.ts';
import { describeMachine } from './machine.ts';
import { isGpu } from './ours/bench-device.ts';
import { peers } from './peers/index.ts';
import type { FoundPeer, Peer } from './peers/peer.ts';
import type { Precision } from './precision.ts';
import { currentCommit } from './repository.ts';
import { type BenchResult, type CaseResult, figureProblem } from './result.ts';
import { suites } from './suites/index.ts';
import type { BenchCase, BenchContext, Suite } from './suites/suite.ts';

/** What a run needs besides the request. */
export interface BenchOptions {
  /** Told what happens, line by line. */
  readonly log?: (line: string) => void;
  /** Looks for the peer of this name; default the registry of peers. */
  readonly findPeer?: (name: string) => Promise<FoundPeer>;
}

/** A result, and whether every case could be measured. */
export interface BenchOutcome {
  readonly result: BenchResult;
  readonly complete: boolean;
}

/** Runs the suites one after the other. A missing peer and cases that fail are told in the notes of the result. */
export async function runBench(request: RunRequest, options: BenchOptions = {}): Promise<BenchOutcome> {
  const { device: kind, threads, isa, precision, tf32, quick, compile } = request;
  const {
    log = () => undefined,
    findPeer = (name) =>
      peers[name]?.({ device: kind, threads, isa, precision, tf32, quick, compile }) as Promise<FoundPeer>,
  } = options;
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
    log(`note: ${text}`);
  };
  const device = { kind, threads, precision, tf32, ...(isa !== undefined && { isa }) };
  const machine = await describeMachine(device);
  const opened = await openPeers(peerNames(request), findPeer, note);
  try {
    const needsPeak = !isGpu(device) && request.suites.some((name) => ['ops', 'block'].includes(name));
    const peak = needsPeak ? await measurePeak(device) : undefined;
    if (peak && 'missing' in peak) note(peak.missing);
    const peakGflops = peak && 'value' in peak ? peak.value : undefined;
    const configs = selectConfigs(request.configs);
    const context = { device, precision, quick, peers: opened, peakGflops, configs };
    const { cases, failures } = await runCases(request, context, log);
    failures.forEach(note);
    const result: BenchResult = {
      machine: { ...machine, ...(peakGflops !== undefined && { [peakField(precision)]: peakGflops }) },
      commit: await currentCommit(),
      date: new Date().toISOString(),
      cases,
      notes,
    };
    return { result, complete: failures.length === 0 };
  } finally {
    for (const peer of opened) await peer.close();
  }
}

function peakField(precision: Precision): 'fmaGflops' | 'bf16Gflops' {
  return precision === 'fp32' ? 'fmaGflops' : 'bf16Gflops';
}

/** The peers that were asked for, and those that a suite is compared with instead. */
function peerNames(request: RunRequest): readonly string[] {
  if (request.peers.length === 0) return [];
  const further = suites.flatMap(({ name, peer }) => (peer && request.suites.includes(name) ? [peer] : []));
  return [...new Set([...request.peers, ...further])];
}

/** Looks for peers; one that is missing is told in a note, and ours is measured alone. */
async function openPeers(
  names: readonly string[],
  findPeer: (name: string) => Promise<FoundPeer>,
  note: (text: string) => void,
): Promise<readonly Peer[]> {
  const opened: Peer[] = [];
  for (const name of names) {
    const found = await findPeer(name);
    if ('peer' in found) {
      opened.push(found.peer);
      found.peer.notes.forEach(note);
    } else {
      note(`no peer: ${found.missing}`);
    }
  }
  return opened;
}

async function runCases(
  request: RunRequest,
  context: BenchContext,
  log: (line: string) => void,
): Promise<{ cases: CaseResult[]; failures: string[] }> {
  const cases: CaseResult[] = [];
  const failures: string[] = [];
  for (const suite of suites.filter(({ name }) => request.suites.includes(name))) {
    const problem = suiteProblem(suite, context);
    if (problem !== undefined) {
      failures.push(`${suite.name}: skipped: ${problem}`);
      continue;
    }
    for (const benchCase of suite.cases(context).filter(({ name }) => name.includes(request.only))) {
      log(`${suite.name}: ${benchCase.name}`);
      const outcome = await measured(benchCase);
      if ('failure' in outcome) {
        failures.push(`${suite.name}: ${benchCase.name} failed: ${outcome.failure}`);
        continue;
      }
      const { row } = outcome;
      cases.push(row);
      const problem = row.figure && figureProblem(row.figure);
      if (problem !== undefined) failures.push(`${suite.name}: ${row.name}: ${problem}`);
    }
  }
  return { cases, failures };
}

/** Why a suite cannot be run as it is asked for; undefined when it can. */
function suiteProblem({ startsCommand = false, cpuOnly = false }: Suite, { device }: BenchContext): string | undefined {
  if (device.isa !== undefined && startsCommand)
    return 'it starts the command line tool, which takes no instruction set';
  if (cpuOnly && isGpu(device)) return 'it measures the CPU';
  return undefined;
}

async function measured(benchCase: BenchCase): Promise<{ row: CaseResult } | { failure: string }> {
  try {
    return { row: await benchCase.measure() };
  } catch (error) {
    return { failure: (error as Error).message };
  }
}
