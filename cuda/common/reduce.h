// Sums over the threads of a warp and of a block, in an order that depends on the block's size alone.
#pragma once

#include "common/warp.h"

namespace diffuse::cuda {

// The sum over a warp, in every lane.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// The same in the first lane alone; what the others hold is nothing.
template <typename T>
__device__ __forceinline__ T fold_warp(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_down_sync(kAllLanes, value, distance);
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// The sum over a block of `Threads` threads (a multiple of 32), in every thread. `shared` holds one T a warp and is
// used by no other call. All threads must call it.
template <int Threads, typename T>
__device__ __forceinline__ T block_sum(T value, T* shared) {
  constexpr int kWarps = Threads / kWarp;
  value = warp_sum(value);
  if constexpr (kWarps == 1) return value;
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = shared[0];
  for (int warp = 1; warp < kWarps; warp++) sum += shared[warp];
  return sum;
}

// The sum of what the first lanes of a block's warps hold, in the first thread alone; `shared` and threads as above.
template <int Threads, typename T>
__device__ __forceinline__ T fold_leaders(T value, T* shared) {
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int warp = 1; warp < Threads / kWarp; warp++) value += shared[warp];
  return value;
}

// The sum over a block, in the first thread alone; `shared` and threads as above.
template <int Threads, typename T>
__device__ __forceinline__ T fold_block(T value, T* shared) {
  return fold_leaders<Threads>(fold_warp(value), shared);
}

}  // namespace diffuse::cuda
