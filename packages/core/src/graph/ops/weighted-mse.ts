import { emit, expectShape, type Value } from '../graph.ts';

/**
 * The denoising loss: `perSample[n]` is the mean of (prediction - target)^2 over the elements of sample n, `loss` the mean of
 * weight[n] * perSample[n]. Ho et al. 2020, eq. (14), with a weight for each noise level. Only `loss` is differentiated, by the
 * prediction alone.
 *
 * @param prediction float32 [N, ..., C]
 * @param target float32, the shape of the prediction
 * @param weight float32 [N]
 * @returns `loss` float32 [1], `perSample` float32 [N]
 */
export function weightedMse(prediction: Value, target: Value, weight: Value): { loss: Value; perSample: Value } {
  const samples = prediction.shape[0] ?? 0;
  expectShape('target of weightedMse', target.shape, prediction.shape);
  expectShape('weight of weightedMse', weight.shape, [samples]);
  return emit({
    kernel: 'weighted_mse_forward',
    outputs: { loss: [1], perSample: [samples] },
    inputs: { prediction, target, weight },
    gradient: ({ loss: dloss }) => ({
      prediction:
        dloss &&
        emit({
          kernel: 'weighted_mse_backward',
          outputs: { dprediction: prediction.shape },
          inputs: { dloss, prediction, target, weight },
        }).dprediction,
    }),
  });
}
