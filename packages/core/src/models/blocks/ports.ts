import { concatChannels, expectShape, type Value } from '../../graph/graph.ts';
import { fill } from '../../graph/ops/elementwise.ts';
import { DiffuseError } from '../../native/errors.ts';

/** The part of a model's options that says what goes into its first layer and comes out of its last one, beside the data. */
export interface PortOptions<Learned extends boolean = boolean> {
  /** Predict the variance of a step, too, in as many channels again; trained by the loss 'hybrid' or 'vlb'. */
  readonly learnedVariance?: Learned;
  /** Be told one's own estimate of the clean data, in as many channels again. */
  readonly selfConditioning?: boolean;
}

/** {@link PortOptions} with their defaults. */
export function resolvePorts<Learned extends boolean>({
  learnedVariance = false as Learned,
  selfConditioning = false,
}: PortOptions<Learned>): Required<PortOptions<Learned>> {
  return { learnedVariance, selfConditioning };
}

/** Channels of the first and the last layer of a network for data of `channels`. */
export function portChannels(
  channels: number,
  options: PortOptions,
): { readonly inputs: number; readonly outputs: number } {
  const { learnedVariance, selfConditioning } = resolvePorts(options);
  return { inputs: selfConditioning ? 2 * channels : channels, outputs: learnedVariance ? 2 * channels : channels };
}

/**
 * What a network sees: x, and behind its channels the estimate where it is self-conditioned, zeros where there is none.
 *
 * @param x float32 [N, ..., C]
 * @param estimate float32, the shape of x
 * @throws `ERR_ARGUMENT` for an estimate that the network does not take, `ERR_SHAPE`.
 */
export function withEstimate(
  x: Value,
  estimate: Value | undefined,
  { selfConditioning = false }: Pick<PortOptions, 'selfConditioning'>,
): Value {
  if (!selfConditioning) {
    if (!estimate) return x;
    throw new DiffuseError('ERR_ARGUMENT', 'an estimate was given, but the model does not take its own estimate');
  }
  if (estimate) expectShape('the estimate that a model is told', estimate.shape, x.shape);
  return concatChannels([x, estimate ?? fill(x.graph, x.shape, 0)]);
}
