import { readFile } from 'node:fs/promises';
import { DiffuseError } from '@diffuse/core';
import type { BenchConfig } from '../configs.ts';
import { profileTrainStep } from '../ours/profiled-step.ts';
import type { Precision } from '../precision.ts';
import { callShape, kernelCost } from '../roofline/kernel-cost.ts';
import type { Gpu } from './gpus.ts';
import { readLaunches } from './launches.ts';
import type { EntryResources, PaperCall } from './predict.ts';

/** Where the stand-in driver writes what it is asked for. */
export interface PaperFiles {
  readonly log: string;
  readonly traffic: string;
}

/** Kernels whose products a matrix unit computes where images are bf16. */
const ofMatrixUnit = /^(?:conv2d|linear|attention)_/;

/**
 * The calls of one training step with what each launches on the GPU that the stand-in driver stands for; nothing is computed
 * (`CUDA_SIMULATOR_EXECUTE=off`).
 */
export async function paperCalls(
  config: BenchConfig,
  precision: Precision,
  { log, traffic }: PaperFiles,
): Promise<readonly PaperCall[]> {
  const calls = await profileTrainStep(config, { kind: 'cuda', precision, selfCheck: false });
  const launches = (await readLaunches(log, traffic)).slice(-calls.length);
  if (launches.length < calls.length)
    throw new DiffuseError('ERR_DEVICE', `the driver's record has ${launches.length} calls, ${calls.length} were made`);
  return calls.map(({ kernel, node, plan, storageOf, scratchBytes }, i) => ({
    ...{ kernel, shape: callShape(node), launches: launches[i] ?? [], scratchBytes },
    ...kernelCost(node, plan, storageOf),
    matrixUnit: ofMatrixUnit.test(kernel) && precision !== 'fp32',
  }));
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
