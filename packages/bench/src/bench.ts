import type { RunRequest } from './arguments.ts';
import { selectConfigs } from './configs.ts';
import { measureFmaPeak } from './fma-peak.ts';
import { describeMachine } from './machine.ts';
import { peers } from './peers/index.ts';
import type { FoundPeer, Peer } from './peers/peer.ts';
import { currentCommit } from './repository.ts';
import { type BenchResult, type CaseResult, figureProblem } from './result.ts';
import { suites } from './suites/index.ts';
import type { BenchCase, BenchContext } from './suites/suite.ts';

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
  const { threads, quick, compile } = request;
  const {
    log = () => undefined,
    findPeer = (name) => peers[name]?.({ threads, quick, compile }) as Promise<FoundPeer>,
  } = options;
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
    log(`note: ${text}`);
  };
  const machine = await describeMachine(threads);
  const peer = await openPeer(request, findPeer, note);
  try {
    const fma = request.suites.includes('ops') ? await measureFmaPeak(threads) : undefined;
    if (fma && 'missing' in fma) note(fma.missing);
    const fmaGflops = fma && 'gflops' in fma ? fma.gflops : undefined;
    const context = { threads, quick, peer, fmaGflops, configs: selectConfigs(request.configs) };
    const { cases, failures } = await runCases(request, context, log);
    failures.forEach(note);
    const result: BenchResult = {
      machine: { ...machine, ...(fmaGflops !== undefined && { fmaGflops }) },
      commit: await currentCommit(),
      date: new Date().toISOString(),
      cases,
      notes,
    };
    return { result, complete: failures.length === 0 };
  } finally {
    await peer?.close();
  }
}

async function openPeer(
  { peer: name }: RunRequest,
  findPeer: (name: string) => Promise<FoundPeer>,
  note: (text: string) => void,
): Promise<Peer | undefined> {
  if (name === undefined) return undefined;
  const found = await findPeer(name);
  if ('peer' in found) return found.peer;
  note(`no peer: ${found.missing}`);
  return undefined;
}

async function runCases(
  request: RunRequest,
  context: BenchContext,
  log: (line: string) => void,
): Promise<{ cases: CaseResult[]; failures: string[] }> {
  const cases: CaseResult[] = [];
  const failures: string[] = [];
  for (const suite of suites.filter(({ name }) => request.suites.includes(name))) {
    for (const benchCase of suite.cases(context)) {
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

async function measured(benchCase: BenchCase): Promise<{ row: CaseResult } | { failure: string }> {
  try {
    return { row: await benchCase.measure() };
  } catch (error) {
    return { failure: (error as Error).message };
  }
}
