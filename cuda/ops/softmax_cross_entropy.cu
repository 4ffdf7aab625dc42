// Softmax cross-entropy (native/ops/softmax_cross_entropy.h has the formulas). A warp takes a row, its lanes the
// classes in turns. Bound by exponentials in float64: one a class forward, two backward; rows are read from the caches
// again.
#include "common/failure.h"
#include "common/image.h"
#include "common/partials.h"
#include "common/softmax.h"
#include "cuda/arguments/softmax_cross_entropy.h"

namespace diffuse::cuda {
namespace {

// At once on a multiprocessor: without the number the compiler wants more of them and spills.
constexpr int kBlocks = 3;

constexpr int kWarps = kSoftmaxCrossEntropyThreads / kWarp;

// The row of a warp; beyond the last one there is none.
__device__ __forceinline__ int64_t row_of_warp() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
}

// The label of row m; 0 where it is none of the classes, which is reported.
__device__ __forceinline__ int32_t label_of(const SoftmaxCrossEntropyArguments& arguments, int64_t m) {
  const int32_t K = arguments.logits.channels, label = arguments.labels[m];
  const auto is_wrong = [&](int64_t i) { return arguments.labels[i] < 0 || arguments.labels[i] >= K; };
  if (!is_wrong(m)) return label;
  if (threadIdx.x % kWarp == 0) report_first(arguments.reporter, kNoLabel, label, K, m, is_wrong);
  return 0;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kSoftmaxCrossEntropyThreads, kBlocks)
    softmax_cross_entropy_forward_f32(const __grid_constant__ SoftmaxCrossEntropyArguments arguments) {
  __shared__ double shared[kWarps];
  const int32_t K = arguments.logits.channels, lane = threadIdx.x % kWarp;
  const int64_t m = row_of_warp();
  double exact = 0;
  if (m < arguments.logits.rows) {
    const float* x = row<const float>(arguments.logits, m);
    const int32_t label = label_of(arguments, m);
    const Softmax s = softmax(x, K);
    exact = s.largest + log(s.sum) - x[label];
    bool first_largest = true;
    for (int32_t k = lane; k < K; k += kWarp) first_largest &= k < label ? x[k] < x[label] : x[k] <= x[label];
    first_largest = __all_sync(kAllLanes, first_largest);
    if (lane == 0) {
      arguments.per_row[m] = static_cast<float>(exact);
      arguments.correct[m] = first_largest ? 1.0f : 0.0f;
    }
  }
  const double sum = fold_leaders<kSoftmaxCrossEntropyThreads>(exact, shared);
  if (threadIdx.x == 0) arguments.partials[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(kFinishThreads)
    softmax_cross_entropy_finish(const __grid_constant__ SoftmaxCrossEntropyArguments arguments) {
  __shared__ double shared[kFinishWarps];
  const double sum = finish_partials(arguments.partials, arguments.blocks, 1, shared);
  if (threadIdx.x == 0) *arguments.loss = static_cast<float>(sum / static_cast<double>(arguments.logits.rows));
}

extern "C" __global__ void __launch_bounds__(kSoftmaxCrossEntropyThreads, kBlocks)
    softmax_cross_entropy_backward_f32(const __grid_constant__ SoftmaxCrossEntropyArguments arguments) {
  const int32_t K = arguments.logits.channels, lane = threadIdx.x % kWarp;
  const int64_t m = row_of_warp();
  if (m >= arguments.logits.rows) return;
  const double factor = *arguments.dloss / static_cast<double>(arguments.logits.rows);
  const float* x = row<const float>(arguments.logits, m);
  const int32_t label = label_of(arguments, m);
  const Softmax s = softmax(x, K);
  // dlogits may be logits: a lane comes back to its own classes alone, after all lanes have read theirs.
  __syncwarp();
  float* dx = row<float>(arguments.dlogits, m);
  for (int32_t k = lane; k < K; k += kWarp)
    dx[k] = static_cast<float>(factor * (s.probability(k) - (k == label ? 1.0 : 0.0)));
}

}  // namespace diffuse::cuda
