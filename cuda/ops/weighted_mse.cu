// Weighted mean squared error (native/ops/weighted_mse.h has the formulas). Both directions are bound by bytes, on
// consumers' GPUs the sum in float64 by its arithmetic, too: a difference and a square an element.
// @promises ld.global.v4 st.global.v4
// @moves 32 weighted_mse_forward
// @moves 48 weighted_mse_backward
#include "common/partials.h"
#include "common/samples.h"
#include "cuda/arguments/weighted_mse.h"

namespace diffuse::cuda {

// A block sums the squared errors of one chunk of one sample.
extern "C" __global__ void __launch_bounds__(kWeightedMseThreads)
    weighted_mse_forward_f32(const __grid_constant__ WeightedMseArguments arguments) {
  __shared__ double shared[kWeightedMseThreads / kWarp];
  const Samples& samples = arguments.samples;
  const Chunks& chunks = arguments.chunks;
  const int64_t n = blockIdx.x / chunks.count, begin = blockIdx.x % chunks.count * chunks.size;
  const int64_t end = min(begin + chunks.size, static_cast<int64_t>(samples.elements));
  double sum = 0;
  for (int64_t at = begin + threadIdx.x * kRun; at < end; at += kWeightedMseThreads * kRun) {
    // Beyond the last element both are 0.
    float prediction[kRun], target[kRun];
    load_run<kRun, float>(prediction, arguments.prediction, samples, n, static_cast<int32_t>(at));
    load_run<kRun, float>(target, arguments.target, samples, n, static_cast<int32_t>(at));
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      const double error = static_cast<double>(prediction[i]) - target[i];
      sum += error * error;
    }
  }
  sum = fold_block<kWeightedMseThreads>(sum, shared);
  if (threadIdx.x == 0) arguments.partials[blockIdx.x] = sum;
}

// One block; a warp sums the chunks of a sample.
extern "C" __global__ void __launch_bounds__(kFinishThreads)
    weighted_mse_finish(const __grid_constant__ WeightedMseArguments arguments) {
  __shared__ double shared[kFinishWarps];
  const int64_t samples = arguments.samples.count;
  const int32_t chunks = arguments.chunks.count;
  double sum = 0;
  for (int64_t n = threadIdx.x / kWarp; n < samples; n += kFinishWarps) {
    const double mean = fold_partials(arguments.partials + n * chunks, chunks) / arguments.samples.elements;
    if (threadIdx.x % kWarp == 0) arguments.per_sample[n] = static_cast<float>(mean);
    sum += arguments.weight[n] * mean;
  }
  sum = fold_leaders<kFinishThreads>(sum, shared);
  if (threadIdx.x == 0) *arguments.loss = static_cast<float>(sum / static_cast<double>(samples));
}

extern "C" __global__ void __launch_bounds__(kWeightedMseThreads)
    weighted_mse_backward_f32(const __grid_constant__ WeightedMseArguments arguments) {
  const Samples& samples = arguments.samples;
  const double factor = 2.0 * *arguments.dloss / (static_cast<double>(samples.count) * samples.elements);
  for_each_pack<kRun>(samples.count, samples.elements, [&](int64_t n, int32_t first) {
    const float own = static_cast<float>(factor * arguments.weight[n]);
    float prediction[kRun], target[kRun];
    load_run<kRun, float>(prediction, arguments.prediction, samples, n, first);
    load_run<kRun, float>(target, arguments.target, samples, n, first);
#pragma unroll
    for (int i = 0; i < kRun; i++) prediction[i] = own * (prediction[i] - target[i]);
    store_run<kRun, float>(arguments.dprediction, samples, n, first, prediction);
  });
}

}  // namespace diffuse::cuda
