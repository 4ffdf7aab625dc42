import { availableParallelism } from 'node:os';
import { DiffuseError } from '@diffuse/core';
import { alternate } from '../alternate.ts';
import { askedBounds, type Goal, goal } from '../asked.ts';
import { type BenchConfig, benchConfigs } from '../configs.ts';
import { trainStepFlops } from '../ours/train-graph.ts';
import { type TrainSession, trainSession } from '../ours/train-session.ts';
import { peerPrecision } from '../precision.ts';
import type { CaseResult } from '../result.ts';
import { timing } from '../statistics.ts';
import type { BenchCase, BenchContext, Suite } from './suite.ts';

/** How the time of a training step changes with threads, batch and resolution: ours against ours. */
export const scalingSuite: Suite = {
  name: 'scaling',
  cpuOnly: true,
  description: 'training steps of one network: 2 threads and 1, batch 64 and 8, resolution 128, 64 and 32; ours alone',
  cases(context) {
    const config = scaledConfig(context.configs);
    return [
      threadCase(context, config),
      batchCase(context, config),
      ...[64, 128].map((size) => resolutionCase(context, config, size)),
    ];
  },
};

/** M, unless only others were asked for: large enough to show what a network does, small enough for a batch of 64. */
function scaledConfig(configs: readonly BenchConfig[]): BenchConfig {
  const [first] = configs;
  return configs.find(({ name }) => name === 'M') ?? first ?? (benchConfigs()[0] as BenchConfig);
}

/** A training step under some conditions. */
interface Side {
  readonly name: string;
  readonly config: BenchConfig;
  readonly threads: number;
}

/** The median times of both sides in milliseconds become what was asked for. */
type Judge = (afterMs: number, beforeMs: number) => Goal;

function threadCase(context: BenchContext, config: BenchConfig): BenchCase {
  const before = { name: '1 thread', config, threads: 1 };
  const after = { name: '2 threads', config, threads: 2 };
  const judge: Judge = (two, one) => goal('1 thread over 2 threads', one / two, askedBounds.twoThreads);
  const sides = besideEachOther(context, { after, before, judge });
  return {
    ...sides,
    async measure() {
      if (availableParallelism() < 2) throw new DiffuseError('ERR_DEVICE', 'two threads need two cores; there is one');
      return sides.measure();
    },
  };
}

function batchCase(context: BenchContext, config: BenchConfig): BenchCase {
  const side = (batch: number): Side => ({
    ...{ name: `batch ${batch}`, config: { ...config, batch }, threads: context.device.threads },
  });
  const judge: Judge = (large, small) => {
    const ratio = large / 64 / (small / 8);
    return goal('time per image, one over the other', Math.max(ratio, 1 / ratio), askedBounds.batchSize);
  };
  return besideEachOther(context, { after: side(64), before: side(8), judge });
}

/** Images a step: few, for those of 128x128 are sixteen times the work. */
const resolutionBatch = 4;

function resolutionCase(context: BenchContext, config: BenchConfig, size: number): BenchCase {
  const side = (pixels: number): Side => ({
    name: `${pixels}x${pixels}`,
    config: { ...config, batch: resolutionBatch, diffusers: { ...config.diffusers, sample_size: pixels } },
    threads: context.device.threads,
  });
  const [after, before] = [side(size), side(32)];
  const judge: Judge = (large, small) => {
    const perFlop = large / trainStepFlops(after.config) / (small / trainStepFlops(before.config));
    return goal('ms per GFLOP over that at 32x32', perFlop, askedBounds.resolution);
  };
  return besideEachOther(context, { after, before, judge });
}

/** A row about `after`, with `before` in the place of the peer. */
function besideEachOther(
  context: BenchContext,
  { after, before, judge }: { readonly after: Side; readonly before: Side; readonly judge: Judge },
): BenchCase {
  const { precision, quick, device } = context;
  const name = `${after.config.name}, training step, ${after.name}`;
  return {
    name,
    async measure(): Promise<CaseResult> {
      const sessions: TrainSession[] = [];
      const open = async ({ config, threads }: Side): Promise<TrainSession> => {
        const session = await trainSession(config, { ...device, threads });
        sessions.push(session);
        return session;
      };
      try {
        const ours = await open(after);
        const times = await alternate(ours, await open(before), { rounds: quick ? 3 : 7 });
        const [ourTiming, other] = [timing(times.ours), timing(times.peer)];
        return {
          ...{ suite: 'scaling', name, precision, ours: { ...ourTiming, peakBytes: ours.peakBytes } },
          peer: { name: 'ours', version: '', variant: before.name, precision: peerPrecision(precision), ...other },
          goals: [judge(ourTiming.medianMs, other.medianMs)],
          otherCores: times.otherCores,
        };
      } finally {
        for (const session of sessions) await session.dispose();
      }
    },
  };
}
