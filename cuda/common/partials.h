// Sums of what blocks have summed before, in an order that depends on their number alone.
#pragma once

#include "common/reduce.h"
#include "cuda/arguments/chunks.h"

namespace diffuse::cuda {

// Every `step`th of `count` numbers, summed by a warp; in its first lane.
__device__ __forceinline__ double fold_partials(const double* partials, int64_t count, int step = 1) {
  double sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < count; i += kWarp) sum += partials[i * step];
  return fold_warp(sum);
}

// The same by a block of kFinishThreads; in its first thread.
__device__ __forceinline__ double finish_partials(const double* partials, int64_t count, int step, double* shared) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kFinishThreads) sum += partials[i * step];
  return fold_block<kFinishThreads>(sum, shared);
}

constexpr int kFinishWarps = kFinishThreads / kWarp;

}  // namespace diffuse::cuda
