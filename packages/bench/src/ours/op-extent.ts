import type { OpShape } from '../peers/peer.ts';

/** What an op must do at least, whoever does it. */
export interface OpExtent {
  /** Floating-point operations, a multiply-add counting two, in the plain way: Winograd's algorithm needs fewer. */
  readonly flops?: number;
  /** Bytes read and written, of ops that memory bounds. */
  readonly bytes?: number;
}

/** Counts what an op must do; of ops that are bound by neither, nothing. */
export function opExtent(shape: OpShape): OpExtent {
  switch (shape.op) {
    case 'matmul':
      return { flops: 2 * shape.size ** 3 };
    case 'conv2d':
      return { flops: convolutionFlops(shape, shape.outputs) };
    case 'resnet-block':
      // Two convolutions, each with two gradients of the same size.
      return { flops: 6 * convolutionFlops(shape, shape.channels) };
    case 'attention': {
      // Two matrix products forward; five backward, of which one is computed again.
      const products = shape.part === 'forward' ? 2 : 7;
      return { flops: products * 2 * shape.batch * shape.tokens ** 2 * shape.channels };
    }
    case 'update':
      // The gradient is read for its norm and again; parameters, both moments and the average are read and written.
      return { bytes: 4 * (2 + 2 * 4) * shape.parameters };
    case 'group-norm-silu':
      return {};
  }
}

interface Images {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

function convolutionFlops({ batch, height, width, channels }: Images, outputs: number): number {
  return 2 * 9 * batch * height * width * channels * outputs;
}
