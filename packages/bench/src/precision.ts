/** Number formats of a computation: `bf16` keeps the accuracy of training, `bf16-fast` gives some of it for speed. */
export const precisions = ['fp32', 'bf16', 'bf16-fast'] as const;

/** A number format. */
export type Precision = (typeof precisions)[number];

/** Number formats that our kernels have. */
export const ourPrecisions: readonly Precision[] = ['fp32'];

/** The format of the peers that a mode of ours is held against: they know one bf16. */
export function peerPrecision(precision: Precision): 'fp32' | 'bf16' {
  return precision === 'fp32' ? 'fp32' : 'bf16';
}

/** Why ours cannot compute in a number format; undefined when it can. */
export function precisionProblem(precision: Precision): string | undefined {
  if (ourPrecisions.includes(precision)) return undefined;
  return `ours has no mode ${precision}, it computes in ${ourPrecisions.join(', ')}`;
}
