export { type BenchRequest, parseBenchArguments, type RunRequest } from './arguments.ts';
export { type BenchOptions, type BenchOutcome, runBench } from './bench.ts';
export { type CaseChange, compareResults, comparisonText, type ResultComparison } from './compare.ts';
export type { FoundPeer, OpShape, OpWork, Peer, PreparedWork, Work } from './peers/peer.ts';
export { reportText } from './report.ts';
export { type BenchResult, type CaseResult, type Machine, readResult, resultProblem } from './result.ts';
