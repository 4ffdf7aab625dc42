import { emit, expectShape, type Value } from '../graph.ts';

/** Numbers of a sample's noise level that {@link hybridLoss} takes. */
export const BOUND_COLUMNS = 6;

/** Tensors of {@link hybridLoss}. */
export interface HybridLossTensors {
  /** What the network says, float32 [N, ..., 2C]: C channels of prediction, then C of v. */
  readonly output: Value;
  /** What it saw, float32 [N, ..., C]. */
  readonly xt: Value;
  /** What it should have predicted, float32 [N, ..., C]. */
  readonly target: Value;
  /** Weight of the squared error of each sample, float32 [N]. */
  readonly weight: Value;
  /** float32 [N, 6], the row of each sample's level in `boundTable`: precision, span, kind, logVariance, x0FromX, x0FromPrediction. */
  readonly coefficients: Value;
  /** How much each sample counts, float32 [N]; absent: all the same. */
  readonly importance?: Value | undefined;
}

/** Numbers of {@link hybridLoss}. */
export interface HybridLossOptions {
  /** Share of the squared error in the loss. */
  readonly simpleWeight: number;
  /** Share of the bound in the loss. */
  readonly boundWeight: number;
  /** What the mean of a sample's nats an element is multiplied with: T / ln 2 makes bits/dim of all T terms. */
  readonly boundScale: number;
  /** Whether the bound teaches the prediction, too, and not the variance alone. */
  readonly throughMean: boolean;
}

/**
 * The loss of a network that predicts its variance: the weighted mean squared error and the variational bound. Nichol and Dhariwal
 * 2021, arXiv:2102.09672, eqs. (15) and (16); `native/ops/hybrid_loss.h` has the formulas. Only `loss` is differentiated, by the output
 * alone.
 *
 * @returns `loss` float32 [1]; `bound` float32 [1], its part of the bound before `boundWeight`; `perSample` float32 [N], the loss of each
 *   sample before `importance`.
 */
export function hybridLoss(
  { output, xt, target, weight, coefficients, importance }: HybridLossTensors,
  { simpleWeight, boundWeight, boundScale, throughMean }: HybridLossOptions,
): { loss: Value; bound: Value; perSample: Value } {
  const samples = target.shape[0] ?? 0;
  const channels = target.shape.at(-1) ?? 0;
  expectShape('output of hybridLoss', output.shape, [...target.shape.slice(0, -1), 2 * channels]);
  expectShape('xt of hybridLoss', xt.shape, target.shape);
  expectShape('weight of hybridLoss', weight.shape, [samples]);
  expectShape('coefficients of hybridLoss', coefficients.shape, [samples, BOUND_COLUMNS]);
  if (importance) expectShape('importance of hybridLoss', importance.shape, [samples]);
  const inputs = { output, xt, target, weight, coefficients, importance };
  const attributes = { simpleWeight, boundWeight, boundScale, throughMean: Number(throughMean) };
  return emit({
    kernel: 'hybrid_loss_forward',
    outputs: { loss: [1], perSample: [samples], bound: [1] },
    inputs,
    attributes,
    gradient: ({ loss: dloss }) => ({
      output:
        dloss &&
        emit({
          kernel: 'hybrid_loss_backward',
          outputs: { doutput: output.shape },
          inputs: { dloss, ...inputs },
          attributes,
        }).doutput,
    }),
  });
}
