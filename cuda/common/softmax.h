// The softmax of a row that a warp has to itself, in float64 as on the CPU.
#pragma once

#include <cstdint>

#include "common/reduce.h"

namespace diffuse::cuda {

// Of K numbers x, the same in every lane.
struct Softmax {
  const float* x;
  double largest;
  double sum;  // of exp(x - largest)

  __device__ __forceinline__ double probability(int32_t k) const { return exp(x[k] - largest) / sum; }
};

__device__ __forceinline__ Softmax softmax(const float* x, int32_t K) {
  const int32_t lane = threadIdx.x % kWarp;
  float largest = x[0];
  for (int32_t k = lane; k < K; k += kWarp) largest = x[k] > largest ? x[k] : largest;
  largest = warp_max(largest);
  double sum = 0;
  for (int32_t k = lane; k < K; k += kWarp) sum += exp(static_cast<double>(x[k]) - largest);
  return {x, largest, warp_sum(sum)};
}

}  // namespace diffuse::cuda
