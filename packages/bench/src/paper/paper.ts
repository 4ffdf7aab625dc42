import { readFile } from 'node:fs/promises';
import { DiffuseError, type Node, type Plan } from '@diffuse/core';
import type { BenchConfig } from '../configs.ts';
import { profileTrainStep } from '../ours/profiled-step.ts';
import type { Precision } from '../precision.ts';
import { callShape, kernelCost } from '../roofline/kernel-cost.ts';
import type { Gpu } from './gpus.ts';
import { type Launch, readLaunches } from './launches.ts';
import type { EntryResources, PaperCall } from './predict.ts';
import { makeSingleCalls } from './single-calls.ts';

/** Where the stand-in driver writes what it is asked for. */
export interface PaperFiles {
  readonly log: string;
  readonly traffic: string;
}

/** A call of a program, and how the tensors lie that it works on. */
export interface PlannedNode {
  readonly node: Node;
  readonly plan: string;
  readonly scratchBytes: number;
  readonly storageOf: Plan['storageOf'];
}

/** What a network asks of the kernels. */
export interface PaperCalls {
  /** Of one training step. */
  readonly step: readonly PaperCall[];
  /** One of each kernel that the step does without. */
  readonly others: readonly PaperCall[];
}

/**
 * The calls with what each launches on the GPU that the stand-in driver stands for; nothing is computed (`CUDA_SIMULATOR_EXECUTE=off`).
 */
export async function paperCalls(
  config: BenchConfig,
  precision: Precision,
  { log, traffic }: PaperFiles,
): Promise<PaperCalls> {
  const device = { kind: 'cuda', precision, selfCheck: false } as const;
  /** Of the program of so many calls that was profiled last. */
  const launchesOf = async (calls: number): Promise<readonly (readonly Launch[])[]> => {
    const launches = (await readLaunches(log, traffic)).slice(-calls);
    if (launches.length === calls) return launches;
    throw new DiffuseError('ERR_DEVICE', `the driver's record has ${launches.length} calls, ${calls} were made`);
  };
  const profiled = await profileTrainStep(config, device);
  const launches = await launchesOf(profiled.length);
  const step = profiled.map((call, i) => paperCall(call, launches[i] ?? []));
  const others: PaperCall[] = [];
  await makeSingleCalls(config, device, new Set(step.map(({ kernel }) => kernel)), async (call, index, calls) => {
    others.push(paperCall(call, (await launchesOf(calls))[index] ?? []));
  });
  return { step, others };
}

function paperCall({ node, plan, scratchBytes, storageOf }: PlannedNode, launches: readonly Launch[]): PaperCall {
  const headChannels = (node.inputs.get('q')?.shape.at(-1) ?? 0) / Number(node.attributes.heads ?? 1);
  const { kernel } = node;
  return { kernel, shape: callShape(node), headChannels, launches, scratchBytes, ...kernelCost(node, plan, storageOf) };
}

/** The report of `pnpm build:cuda`: image → entry → architecture. */
type ResourceReport = Readonly<
  Record<string, Readonly<Record<string, { readonly architectures: Readonly<Record<string, ReportedEntry>> }>>>
>;
interface ReportedEntry {
  readonly registers: number;
  readonly shared: number;
}

/** Looks up what ptxas says of entries on a GPU. @throws `ERR_DATA` for an entry that it says nothing of. */
export async function readResources(path: string, { arch }: Gpu): Promise<(entry: string) => EntryResources> {
  const report = JSON.parse(await readFile(path, 'utf8')) as ResourceReport;
  const entries = new Map(Object.values(report).flatMap((image) => Object.entries(image)));
  return (entry) => {
    const found = entries.get(entry)?.architectures[arch];
    if (!found) throw new DiffuseError('ERR_DATA', `${path} says nothing of ${entry} on ${arch}`);
    return { registers: found.registers, sharedBytes: found.shared };
  };
}
