/**
 * What a U-Net is put together from, over whatever flows through it: values of a graph when it is built, numbers of channels when
 * its parameters are listed. So the two cannot disagree.
 */
export interface UNetParts<X> {
  /** A residual block that leads to `channels`. */
  readonly block: (name: string, x: X, channels: number) => X;
  /** Between the two residual blocks at the coarsest level. */
  readonly middle: (x: X) => X;
  /** To half the size, with as many channels. */
  readonly down: (name: string, x: X) => X;
  /** To twice the size, with as many channels. */
  readonly up: (name: string, x: X) => X;
  /** Two of one size, side by side in the channels. */
  readonly concat: (a: X, b: X) => X;
}

/** Sizes of a {@link unetTopology}. */
export interface UNetSizes {
  /** Channels of each level, the finest first. */
  readonly channels: readonly number[];
  /** Residual blocks a level on the way down; as many on the way up. */
  readonly layers: number;
}

/**
 * A U-Net (Ronneberger et al. 2015, arXiv:1505.04597) of any dimension: residual blocks from fine to coarse, each remembered, two in
 * the middle, and back, each block taking the remembered one of its size. `UNet2D` has a walk of its own, whose order and names are
 * those of diffusers.
 *
 * @param x the finest level, after a first convolution.
 */
export function unetTopology<X>({ channels, layers }: UNetSizes, parts: UNetParts<X>, x: X): X {
  const names = Array.from({ length: layers }, (_, layer) => `resnets.${layer}`);
  const skips: X[] = [];
  let h = x;
  for (const [level, count] of channels.entries()) {
    for (const name of names) {
      h = parts.block(`down_blocks.${level}.${name}`, h, count);
      skips.push(h);
    }
    if (level < channels.length - 1) h = parts.down(`down_blocks.${level}.downsample`, h);
  }
  const coarsest = channels.at(-1) ?? 1;
  h = parts.middle(parts.block('mid_block.resnets.0', h, coarsest));
  h = parts.block('mid_block.resnets.1', h, coarsest);
  for (const [level, count] of [...channels.entries()].reverse()) {
    for (const name of names) {
      h = parts.block(`up_blocks.${level}.${name}`, parts.concat(h, skips.pop() as X), count);
    }
    if (level > 0) h = parts.up(`up_blocks.${level}.upsample`, h);
  }
  return h;
}
