/** An op and the sizes of its tensors, in the names of the papers: batch N, channels C, outputs K. */
export type OpShape =
  | { readonly op: 'matmul'; readonly size: number }
  | {
      readonly op: 'conv2d';
      readonly part: 'forward' | 'data gradient' | 'weight gradient';
      readonly batch: number;
      readonly channels: number;
      readonly height: number;
      readonly width: number;
      readonly outputs: number;
    }
  | ({ readonly op: 'group-norm-silu'; readonly part: 'forward' | 'backward' } & GroupedImages)
  | {
      readonly op: 'attention';
      readonly part: 'forward' | 'forward and backward';
      readonly batch: number;
      readonly heads: number;
      readonly tokens: number;
      readonly channels: number;
    }
  /** A residual block, forward and backward with all gradients: GroupNorm, SiLU, convolution, plus time; the same again, plus x. */
  | ({ readonly op: 'resnet-block' } & GroupedImages)
  /** The change of the weights: clipping by the norm of the gradient, AdamW, and the average of the weights. */
  | { readonly op: 'update'; readonly parameters: number };

interface GroupedImages {
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly groups: number;
}
