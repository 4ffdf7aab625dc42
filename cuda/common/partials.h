// Sums of what blocks have summed before, in an order that depends on their number alone.
#pragma once

#include "common/reduce.h"
#include "cuda/arguments/chunks.h"

namespace diffuse::cuda {

// Every `step`th of `count` numbers, in every lane of a warp.
__device__ __forceinline__ double warp_total(const double* partials, int64_t count, int step = 1) {
  double sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < count; i += kWarp) sum += partials[i * step];
  return warp_sum(sum);
}

// The same by a block of kFinishThreads; in every thread.
__device__ __forceinline__ double finish_total(const double* partials, int64_t count, int step, double* shared) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kFinishThreads) sum += partials[i * step];
  return block_sum<kFinishThreads>(sum, shared);
}

// The sum of what the lanes 0 of a block's warps hold; in every thread.
__device__ __forceinline__ double finish_leaders(double value, double* shared) {
  return block_sum<kFinishThreads>(threadIdx.x % kWarp == 0 ? value : 0.0, shared);
}

constexpr int kFinishWarps = kFinishThreads / kWarp;

}  // namespace diffuse::cuda
