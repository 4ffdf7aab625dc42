import type { Value } from '../graph/graph.ts';
import { dynamicThreshold } from '../graph/ops/dynamic-threshold.ts';
import type { SamplerUpdateOptions } from '../graph/ops/sampler-update.ts';
import { DiffuseError } from '../native/errors.ts';
import type { DynamicThreshold, SamplerStep } from './sampler.ts';

/** How the fused update comes by its estimate of x0. */
export interface Estimate {
  /** What stands in the place of the prediction. */
  readonly prediction: Value;
  readonly numbers: Pick<SamplerUpdateOptions, 'x0FromX' | 'x0FromPrediction' | 'clip' | 'coefficientPrediction'>;
}

/**
 * The estimate of x0 in the graph of a step: the update makes and clips it by itself, but for dynamic thresholding, which looks at whole
 * samples. Then an op before it does so, and the update takes what it finds for a prediction of x0 itself; the prediction's own
 * share of x' (see {@link addsPrediction}) is left to be added.
 *
 * @param x the samples, float32 [N, ..., C]
 * @param prediction what the network says, of the same shape
 */
export function estimateX0(plan: readonly SamplerStep[], x: Value, prediction: Value): Estimate {
  const { graph } = x;
  const factors = { x0FromX: graph.scalar('x0FromX'), x0FromPrediction: graph.scalar('x0FromPrediction') };
  if (!isThresholded(plan)) {
    const numbers = { ...factors, clip: graph.scalar('clip'), coefficientPrediction: graph.scalar('prediction') };
    return { prediction, numbers };
  }
  const x0 = dynamicThreshold(x, prediction, {
    ...factors,
    quantile: graph.scalar('quantile'),
    max: graph.scalar('max'),
  });
  const numbers = { x0FromX: 0, x0FromPrediction: 1, clip: Number.POSITIVE_INFINITY, coefficientPrediction: 0 };
  return { prediction: x0, numbers };
}

/** Whether `prediction`'s share of x' is to be added after the update. */
export function addsPrediction(plan: readonly SamplerStep[]): boolean {
  return isThresholded(plan) && plan.some((row) => row.prediction !== 0);
}

/** The numbers of a row that {@link estimateX0} asks for, and the prediction's share of x' where anything asks for it. */
export function estimateScalars(plan: readonly SamplerStep[], row: SamplerStep): Record<string, number> {
  const { clip, x0FromX, x0FromPrediction, prediction } = row;
  if (typeof clip === 'number') return { x0FromX, x0FromPrediction, clip, prediction };
  const { quantile, max = Number.POSITIVE_INFINITY } = clip;
  return { x0FromX, x0FromPrediction, quantile, max, ...(addsPrediction(plan) && { prediction }) };
}

/** @throws DiffuseError `ERR_ARGUMENT` for rows of both kinds: one graph serves all of them. */
function isThresholded(plan: readonly SamplerStep[]): boolean {
  const dynamic = plan.filter(({ clip }) => isDynamic(clip)).length;
  if (dynamic === 0 || dynamic === plan.length) return dynamic > 0;
  throw new DiffuseError('ERR_ARGUMENT', 'a plan clips by a number or by dynamic thresholding, not by both in turn');
}

function isDynamic(clip: SamplerStep['clip']): clip is DynamicThreshold {
  return typeof clip === 'object';
}
