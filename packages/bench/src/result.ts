import { readFile } from 'node:fs/promises';
import { DiffuseError } from '@diffuse/core';
import type { Goal } from './asked.ts';
import type { Tried } from './peers/peer.ts';
import type { Precision } from './precision.ts';
import type { Timing } from './statistics.ts';

/** Our side of a case. */
export interface OurTiming extends Timing {
  /**
   * Largest memory in bytes. In the suite `memory` the resident memory of the process at its peak; elsewhere what the program plans
   * to use: arena, scratch and the buffers on the device.
   */
  readonly peakBytes: number;
}

/** The peer's side of a case. */
export interface PeerTiming extends Timing {
  readonly name: string;
  readonly version: string;
  /** Which way of using the peer was fastest in a trial and so was measured. */
  readonly variant: string;
  readonly precision: 'fp32' | 'bf16';
  /** What the trial of all variants found. */
  readonly tried?: Tried;
  /** Resident memory of the peer's process at its peak in bytes; in the suite `memory`. */
  readonly peakBytes?: number;
}

/** What a case found beside its time, in the suite `quality`. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly better: 'lower' | 'higher';
  /** What the value must reach, or must not exceed; absent where a run is too short to be judged. */
  readonly limit?: number;
}

/** One row of the benchmark. */
export interface CaseResult {
  readonly suite: string;
  readonly name: string;
  /** Number format of our side. */
  readonly precision: Precision;
  readonly ours: OurTiming;
  readonly peer?: PeerTiming;
  /** `peer.medianMs / ours.medianMs`: above 1 we are faster. */
  readonly ratio?: number;
  /** `ours.peakBytes / peer.peakBytes`: below 1 we take less. */
  readonly memoryRatio?: number;
  /** Floating-point operations of one measurement; a multiply-add counts two. */
  readonly flops?: number;
  /** `flops / ours.medianMs` over the measured peak of multiply-adds in the format, on the same threads. */
  readonly fractionOfPeak?: number;
  /** Bytes that one measurement must read and write, of ops that memory bounds. */
  readonly bytes?: number;
  /** The time that memory alone takes for them, at its measured bandwidth, over `ours.medianMs`. */
  readonly fractionOfBandwidth?: number;
  readonly figure?: Figure;
  /** What was asked of this row, and whether it holds. */
  readonly goals?: readonly Goal[];
  /** Cores that other processes kept busy meanwhile, on average; above 0.1 the row is not to be trusted. */
  readonly otherCores?: number;
}

/** Where the benchmark ran. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Vector extensions of the CPU that matter here. */
  readonly isa: readonly string[];
  /** The device that computed, as the library calls it. */
  readonly device: string;
  readonly threads: number;
  /** Instruction set that both sides were held to; absent where each took the best that the CPU has. */
  readonly heldTo?: string;
  /** Of a GPU. */
  readonly driver?: string;
  /** True where both sides multiplied float32 as tf32. */
  readonly tf32?: boolean;
  readonly os: string;
  readonly node: string;
  /** Measured peak of fused multiply-adds in float32 on `threads` threads. */
  readonly fmaGflops?: number;
  /** Measured peak of bf16 products with float32 sums, where ours had a format with them. */
  readonly bf16Gflops?: number;
}

/** What `--json` writes. */
export interface BenchResult {
  readonly machine: Machine;
  readonly commit: string;
  /** ISO 8601. */
  readonly date: string;
  readonly cases: readonly CaseResult[];
  /** What a reader must know: a missing peer, a case that failed. */
  readonly notes: readonly string[];
}

/** Why a figure is not good enough; undefined when it is. */
export function figureProblem({ name, value, better, limit }: Figure): string | undefined {
  if (limit === undefined || (better === 'lower' ? value <= limit : value >= limit)) return undefined;
  return `${name} is ${value.toPrecision(4)}; it must be ${better === 'lower' ? 'at most' : 'at least'} ${limit.toPrecision(4)}`;
}

/** Reads a file that `--json` wrote. @throws `ERR_DATA` naming the file and what is wrong with it. */
export async function readResult(path: string): Promise<BenchResult> {
  const refuse = (problem: string): never => {
    throw new DiffuseError('ERR_DATA', `${path}: ${problem}; expected a file written by pnpm bench --json`);
  };
  const text = await readFile(path, 'utf8').catch((error: Error) => refuse(error.message));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refuse(`not JSON, ${(error as Error).message}`);
  }
  const problem = resultProblem(value);
  if (problem !== undefined) refuse(problem);
  return value as BenchResult;
}

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === 'string';
const count: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const truth: Check = (value) => typeof value === 'boolean';
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const record = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const timingFields = { medianMs: count, minMs: count, maxMs: count, runs: count };
const caseFields = { suite: text, name: text, precision: text };
const numberFields = [
  ...['ratio', 'memoryRatio', 'flops', 'fractionOfPeak', 'bytes', 'fractionOfBandwidth', 'otherCores'],
];
const direction: Check = (value) => value === 'lower' || value === 'higher';
const figureFields = { name: text, value: count, limit: optional(count), better: direction };
const goalFields = { name: text, value: count, limit: count, better: direction, holds: truth };
const peerFields = { name: text, version: text, variant: text, ...timingFields, peakBytes: optional(count) };

/** What is wrong with the form of a result, with the path to it; undefined when nothing is. */
export function resultProblem(value: unknown): string | undefined {
  const missing = fieldProblem(value, '', { machine: record, commit: text, date: text, cases: Array.isArray });
  if (missing !== undefined) return missing;
  for (const [i, row] of (value as { cases: unknown[] }).cases.entries()) {
    const at = `cases[${i}].`;
    const { ours, peer, figure, goals = [] } = (row ?? {}) as Record<string, unknown>;
    const problem =
      fieldProblem(row, at, caseFields) ??
      fieldProblem(ours, `${at}ours.`, { ...timingFields, peakBytes: count }) ??
      (peer === undefined ? undefined : fieldProblem(peer, `${at}peer.`, peerFields)) ??
      (figure === undefined ? undefined : fieldProblem(figure, `${at}figure.`, figureFields)) ??
      fieldProblem(row, at, Object.fromEntries(numberFields.map((name) => [name, optional(count)]))) ??
      goalsProblem(goals, at);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function goalsProblem(goals: unknown, at: string): string | undefined {
  if (!Array.isArray(goals)) return `${at}goals is no array`;
  return goals.map((goal, i) => fieldProblem(goal, `${at}goals[${i}].`, goalFields)).find(Boolean);
}

function fieldProblem(value: unknown, path: string, fields: Readonly<Record<string, Check>>): string | undefined {
  if (!record(value)) return `${path.slice(0, -1) || 'the whole'} is no object`;
  const wrong = Object.entries(fields).find(([name, check]) => !check(value[name]));
  return wrong && `${path}${wrong[0]} is ${JSON.stringify(value[wrong[0]]) ?? 'missing'}`;
}
