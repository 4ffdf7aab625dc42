import { askedBounds, askedRatio, goal } from '../asked.ts';
import { measureBandwidth } from '../ceilings.ts';
import { isGpu } from '../ours/bench-device.ts';
import type { OpExtent } from '../ours/op-extent.ts';
import { type OpSession, opSession } from '../ours/op-session.ts';
import type { OpShape } from '../peers/peer.ts';
import type { CaseResult } from '../result.ts';
import { type BenchContext, compareWithPeer } from './suite.ts';

/** A measurement lasts at least this long; short ops are repeated. */
const measurementMs = 40;
const mostRepeats = 200;

/** A row about an op. */
export interface OpCase extends OpExtent {
  readonly suite: string;
  readonly name: string;
  readonly shape: OpShape;
}

/** Times an op on both sides. */
export async function measureOp(context: BenchContext, { suite, name, shape, ...extent }: OpCase): Promise<CaseResult> {
  const session = await opSession(shape, context.device);
  try {
    const repeats = await repeatsFor(session);
    session.repeat(repeats);
    const { flops, bytes } = extent;
    const row = await compareWithPeer(context, {
      ...{ suite, name, ours: session, work: { kind: 'op', repeats, ...shape } },
      rounds: context.quick ? 5 : 15,
      asked: askedRatio(askedName(shape), context),
      ...(flops !== undefined && { flops }),
    });
    // What is measured is the CPU's memory.
    if (bytes === undefined || isGpu(context.device)) return row;
    return await besideMemory(row, bytes, context.device.threads);
  } finally {
    session.dispose();
  }
}

async function repeatsFor(session: OpSession): Promise<number> {
  await session.run();
  const ms = await session.run();
  return Math.min(mostRepeats, Math.max(1, Math.ceil(measurementMs / ms)));
}

/** The name under which `asked.ts` has an op: small images are asked less. */
function askedName(shape: OpShape): string {
  switch (shape.op) {
    case 'conv2d':
      return shape.height === 8 ? 'conv2d 8x8' : `conv2d ${shape.part}`;
    case 'resnet-block':
      return shape.height === 8 ? 'resnet-block 8x8' : shape.op;
    case 'attention':
      return `attention ${shape.part}`;
    default:
      return shape.op;
  }
}

/** Holds a row against the time that memory alone takes, measured right after it: neighbours change what is left of it. */
async function besideMemory(row: CaseResult, bytes: number, threads: number): Promise<CaseResult> {
  const bandwidth = await measureBandwidth(threads);
  if ('missing' in bandwidth) return { ...row, bytes };
  const floorMs = bytes / (bandwidth.value * 1e6);
  const overFloor = goal('time over the memory floor', row.ours.medianMs / floorMs, askedBounds.updateOverFloor);
  return {
    ...row,
    bytes,
    fractionOfBandwidth: floorMs / row.ours.medianMs,
    goals: [...(row.goals ?? []), overFloor],
  };
}
