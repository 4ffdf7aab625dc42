import { askedBounds, goal } from '../asked.ts';
import type { BenchConfig } from '../configs.ts';
import { peakResidentBytes } from '../load-meter.ts';
import { startJsonProcess } from '../peers/json-process.ts';
import { type Peer, peerFor } from '../peers/peer.ts';
import { peerPrecision } from '../precision.ts';
import { compiledFile } from '../repository.ts';
import type { CaseResult } from '../result.ts';
import { timing } from '../statistics.ts';
import type { BenchContext, Suite } from './suite.ts';
import { trainWork } from './train-step.ts';

type Trained = Awaited<ReturnType<Exclude<Peer['trainInFreshProcess'], undefined>>>;

/** What training takes. The times are of processes that ran one after the other, so they make no ratio. */
export const memorySuite: Suite = {
  name: 'memory',
  cpuOnly: true,
  description: 'peak resident memory of a process that trains, from /proc/PID/status',
  cases: (context) =>
    context.configs.map((config) => ({
      name: `${config.name}, training, batch ${config.batch}`,
      measure: () => measureMemory(context, config),
    })),
};

/** The peak is reached in the second step, when AdamW's moments exist and gradients come again. */
const steps = 3;

async function measureMemory(context: BenchContext, config: BenchConfig): Promise<CaseResult> {
  const { peers, precision } = context;
  const own = await trainOurs(config, context.device);
  const ours = { ...timing(own.stepMs), peakBytes: own.peakBytes };
  const work = trainWork(config);
  const peer = peerFor(peers, work.kind);
  const theirs = await peer?.trainInFreshProcess?.(work, steps);
  return {
    suite: 'memory',
    name: `${config.name}, training, batch ${config.batch}`,
    ...{ precision, ours },
    ...(peer && theirs && peerMemory(context, config, ours.peakBytes, peer, theirs)),
  };
}

function peerMemory(
  { precision, device }: BenchContext,
  config: BenchConfig,
  ourBytes: number,
  { name, version }: Peer,
  { variant, stepMs, peakBytes }: Trained,
): Pick<CaseResult, 'peer' | 'memoryRatio' | 'goals'> {
  const memoryRatio = ourBytes / peakBytes;
  const asked = config.name === 'L' && device.isa === undefined;
  return {
    peer: { name, version, variant, precision: peerPrecision(precision), ...timing(stepMs), peakBytes },
    memoryRatio,
    ...(asked && { goals: [goal('memory over that of the peer', memoryRatio, askedBounds.memory[precision])] }),
  };
}

async function trainOurs(
  config: BenchConfig,
  device: BenchContext['device'],
): Promise<Pick<Trained, 'stepMs' | 'peakBytes'>> {
  const file = await compiledFile('packages/bench/dist/workers/train-worker.js');
  const worker = await startJsonProcess({ program: process.execPath, args: [file] });
  try {
    await worker.ask({ config: config.name, device });
    const stepMs: number[] = [];
    for (let i = 0; i < steps; i++) stepMs.push(Number((await worker.ask({})).ms));
    return { stepMs, peakBytes: peakResidentBytes(worker.pid) };
  } finally {
    await worker.close();
  }
}
