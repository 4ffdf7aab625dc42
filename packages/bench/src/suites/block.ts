import { opExtent } from '../ours/op-extent.ts';
import type { OpShape } from '../peers/peer.ts';
import { measureOp } from './measure-op.ts';
import type { Suite } from './suite.ts';

/** Residual blocks of the networks, without the 1x1 shortcut that few of them have. */
const shapes = [
  { op: 'resnet-block', batch: 16, height: 32, width: 32, channels: 128, groups: 32 },
  { op: 'resnet-block', batch: 16, height: 16, width: 16, channels: 256, groups: 32 },
  { op: 'resnet-block', batch: 16, height: 8, width: 8, channels: 256, groups: 32 },
] as const satisfies readonly OpShape[];

/** Residual blocks: what the fusion of ops brings shows here first. */
export const blockSuite: Suite = {
  name: 'block',
  description: 'a residual block, forward and backward with all gradients',
  cases: (context) =>
    shapes.map((shape) => {
      const name = `${shape.batch}x${shape.height}x${shape.width}x${shape.channels}`;
      return { name, measure: () => measureOp(context, { suite: 'block', name, shape, ...opExtent(shape) }) };
    }),
};
