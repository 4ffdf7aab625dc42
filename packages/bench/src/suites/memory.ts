import type { BenchConfig } from '../configs.ts';
import { peakResidentBytes } from '../load-meter.ts';
import { startJsonProcess } from '../peers/json-process.ts';
import { compiledFile } from '../repository.ts';
import type { CaseResult } from '../result.ts';
import { timing } from '../statistics.ts';
import type { BenchContext, Suite } from './suite.ts';
import { trainWork } from './train-step.ts';

/** What training takes. The times are of processes that ran one after the other, so they make no ratio. */
export const memorySuite: Suite = {
  name: 'memory',
  description: 'peak resident memory of a process that trains, from /proc/PID/status',
  cases: (context) =>
    context.configs.map((config) => ({
      name: `${config.name}, training, batch ${config.batch}`,
      measure: () => measureMemory(context, config),
    })),
};

/** The peak is reached in the second step, when AdamW's moments exist and gradients come again. */
const steps = 3;

async function measureMemory({ peer, threads }: BenchContext, config: BenchConfig): Promise<CaseResult> {
  const own = await trainOurs(config, threads);
  const ours = { ...timing(own.stepMs), peakBytes: own.peakBytes };
  const theirs = await peer?.trainInFreshProcess(trainWork(config), steps);
  return {
    suite: 'memory',
    name: `${config.name}, training, batch ${config.batch}`,
    precision: 'fp32',
    ours,
    ...(peer &&
      theirs && {
        peer: {
          name: peer.name,
          version: peer.version,
          variant: theirs.variant,
          ...timing(theirs.stepMs),
          peakBytes: theirs.peakBytes,
        },
        memoryRatio: ours.peakBytes / theirs.peakBytes,
      }),
  };
}

async function trainOurs(config: BenchConfig, threads: number): Promise<{ stepMs: number[]; peakBytes: number }> {
  const file = await compiledFile('packages/bench/dist/workers/train-worker.js');
  const worker = await startJsonProcess({ program: process.execPath, args: [file] });
  try {
    await worker.ask({ config: config.name, threads });
    const stepMs: number[] = [];
    for (let i = 0; i < steps; i++) stepMs.push(Number((await worker.ask({})).ms));
    return { stepMs, peakBytes: peakResidentBytes(worker.pid) };
  } finally {
    await worker.close();
  }
}
