import { precisions as formats, type Precision } from '@diffuse/core';

export type { Precision } from '@diffuse/core';

/** Number formats of a computation: `bf16` keeps the accuracy of training, `bf16-fast` gives some of it for speed. */
export const precisions = Object.keys(formats) as readonly Precision[];

/** The format of the peers that a mode of ours is held against: they know one bf16. */
export function peerPrecision(precision: Precision): 'fp32' | 'bf16' {
  return precision === 'fp32' ? 'fp32' : 'bf16';
}
