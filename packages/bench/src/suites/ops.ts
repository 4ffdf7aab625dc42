import { type OpSession, opSession } from '../ours/op-session.ts';
import type { OpShape } from '../peers/peer.ts';
import { type BenchCase, type BenchContext, compareWithPeer, type Suite } from './suite.ts';

/** 3x3 convolutions of the networks: batch, channels, outputs, height and width. */
const convolutions = [
  { batch: 16, channels: 128, outputs: 128, height: 32, width: 32 },
  { batch: 16, channels: 256, outputs: 256, height: 16, width: 16 },
  { batch: 16, channels: 256, outputs: 256, height: 8, width: 8 },
  { batch: 4, channels: 128, outputs: 128, height: 64, width: 64 },
  { batch: 64, channels: 64, outputs: 64, height: 16, width: 16 },
  { batch: 32, channels: 512, outputs: 256, height: 16, width: 16 },
] as const;

const convolutionParts = ['forward', 'data gradient', 'weight gradient'] as const;
const parts = ['forward', 'backward'] as const;

/** A measurement lasts at least this long; short ops are repeated. */
const measurementMs = 40;
const mostRepeats = 200;

/** Single ops at the shapes of the networks. */
export const opsSuite: Suite = {
  name: 'ops',
  description: 'matrix product, convolutions and their gradients, GroupNorm, attention, AdamW',
  cases: (context) =>
    opShapes().map((shape): BenchCase => ({ name: opName(shape), measure: () => measureOp(context, shape) })),
};

type OpRow = Awaited<ReturnType<BenchCase['measure']>>;

async function measureOp(context: BenchContext, shape: OpShape): Promise<OpRow> {
  const session = await opSession(shape, context.threads);
  try {
    const repeats = await repeatsFor(session);
    session.repeat(repeats);
    const flops = opFlops(shape);
    return await compareWithPeer(context, {
      suite: 'ops',
      name: opName(shape),
      ours: session,
      work: { kind: 'op', repeats, ...shape },
      rounds: context.quick ? 5 : 15,
      ...(flops !== undefined && { flops }),
    });
  } finally {
    session.dispose();
  }
}

async function repeatsFor(session: OpSession): Promise<number> {
  await session.run();
  const ms = await session.run();
  return Math.min(mostRepeats, Math.max(1, Math.ceil(measurementMs / ms)));
}

function opShapes(): readonly OpShape[] {
  return [
    { op: 'matmul', size: 1024 },
    ...convolutions.flatMap((shape) => convolutionParts.map((part) => ({ op: 'conv2d', part, ...shape }) as const)),
    ...parts.map(
      (part) => ({ op: 'group-norm-silu', part, batch: 16, channels: 128, height: 32, width: 32, groups: 32 }) as const,
    ),
    ...parts.map((part) => ({ op: 'attention', part, batch: 16, heads: 1, tokens: 256, channels: 256 }) as const),
    { op: 'adamw', parameters: 35_746_307 },
  ];
}

function opName(shape: OpShape): string {
  switch (shape.op) {
    case 'matmul':
      return `matmul ${shape.size}x${shape.size}x${shape.size}`;
    case 'conv2d': {
      const { part, batch, channels, outputs, height, width } = shape;
      return `conv2d 3x3 ${part} ${batch}x${height}x${width}x${channels}->${outputs}`;
    }
    case 'group-norm-silu':
      return `groupNorm+silu ${shape.part} ${shape.batch}x${shape.height}x${shape.width}x${shape.channels}`;
    case 'attention':
      return `attention ${shape.part} ${shape.batch}x${shape.tokens}x${shape.channels}, heads ${shape.heads}`;
    case 'adamw':
      return `adamW ${shape.parameters} parameters`;
  }
}

/** A multiply-add counts two. Of ops that memory bounds the operations tell nothing. */
function opFlops(shape: OpShape): number | undefined {
  switch (shape.op) {
    case 'matmul':
      return 2 * shape.size ** 3;
    case 'conv2d':
      return 2 * 9 * shape.batch * shape.height * shape.width * shape.channels * shape.outputs;
    case 'attention': {
      // Two matrix products forward; five backward, of which one is computed again.
      const products = shape.part === 'forward' ? 2 : 5;
      return products * 2 * shape.batch * shape.tokens ** 2 * shape.channels;
    }
    default:
      return undefined;
  }
}
