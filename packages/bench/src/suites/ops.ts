import { opExtent } from '../ours/op-extent.ts';
import type { OpShape } from '../peers/peer.ts';
import type { Precision } from '../precision.ts';
import { measureOp } from './measure-op.ts';
import type { Suite } from './suite.ts';

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
const attentionParts = ['forward', 'forward and backward'] as const;
const tokens = [256, 64];

/** Single ops at the shapes of the networks. */
export const opsSuite: Suite = {
  name: 'ops',
  description: 'matrix product, convolutions and their gradients, GroupNorm, attention, clip + AdamW + EMA',
  cases: (context) =>
    opShapes(context.precision).map((shape) => ({
      name: opName(shape),
      measure: () => measureOp(context, { suite: 'ops', name: opName(shape), shape, ...opExtent(shape) }),
    })),
};

type SingleOp = Exclude<OpShape, { op: 'resnet-block' }>;

/** The ops that a number format changes: what has no images is float32 in each. */
function opShapes(precision: Precision): readonly SingleOp[] {
  return allShapes().filter(({ op }) => precision === 'fp32' || !['matmul', 'update'].includes(op));
}

function allShapes(): readonly SingleOp[] {
  return [
    { op: 'matmul', size: 1024 },
    ...convolutions.flatMap((shape) => convolutionParts.map((part) => ({ op: 'conv2d', part, ...shape }) as const)),
    ...parts.map(
      (part) => ({ op: 'group-norm-silu', part, batch: 16, channels: 128, height: 32, width: 32, groups: 32 }) as const,
    ),
    ...tokens.flatMap((count) => attentionParts.map((part) => attentionShape(part, count))),
    { op: 'update', parameters: 35_746_307 },
  ];
}

function attentionShape(part: (typeof attentionParts)[number], tokens: number): SingleOp {
  return { op: 'attention', part, batch: 16, heads: 1, tokens, channels: 256 };
}

function opName(shape: SingleOp): string {
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
    case 'update':
      return `clip + AdamW + EMA, ${shape.parameters} parameters`;
  }
}
