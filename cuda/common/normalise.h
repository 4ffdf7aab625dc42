// What group normalisation does to one number (native/ops/group_norm.h), for the kernels that do it in passing.
#pragma once

#include "cuda/arguments/norm.h"

namespace diffuse::cuda {

// z = (x - mean) scale + beta
__device__ __forceinline__ float normalised(float x, float mean, float scale, float beta) {
  return fmaf(x - mean, scale, beta);
}

// Those numbers of Width channels of a sample. Neighbours are a thread's own, so that each of its Width requests
// touches a part of every sector; the others find it in the L1 cache. A thread asks once for all its pixels.
template <int Width>
struct ChannelNorm {
  float mean[Width], scale[Width], beta[Width];

  __device__ __forceinline__ ChannelNorm(const NormArguments& norm, int64_t sample, int32_t channel) {
    // One division for all channels.
    int64_t slot = sample * norm.groups + channel / norm.group_channels;
    int32_t within = channel % norm.group_channels;
#pragma unroll
    for (int k = 0; k < Width; k++) {
      mean[k] = norm.mean[slot];
      scale[k] = norm.rstd[slot] * norm.gamma[channel + k];
      beta[k] = norm.beta[channel + k];
      if (++within == norm.group_channels && k + 1 < Width) within = 0, slot++;
    }
  }
};

// dx = dz own - (x - mean) along - level
__device__ __forceinline__ float normalised_gradient(float dz, float x, float mean, float own, float along,
                                                     float level) {
  return fmaf(mean - x, along, fmaf(dz, own, -level));
}

// Those coefficients of Width channels, from a row [4, C] of them.
template <int Width>
struct ChannelGradient {
  float mean[Width], own[Width], along[Width], level[Width];

  __device__ __forceinline__ ChannelGradient(const float* coefficients, int32_t channels, int32_t channel) {
#pragma unroll
    for (int k = 0; k < Width; k++) {
      mean[k] = coefficients[channel + k];
      own[k] = coefficients[channels + channel + k];
      along[k] = coefficients[2 * channels + channel + k];
      level[k] = coefficients[3 * channels + channel + k];
    }
  }
  __device__ __forceinline__ float operator()(int k, float dz, float x) const {
    return normalised_gradient(dz, x, mean[k], own[k], along[k], level[k]);
  }
};

}  // namespace diffuse::cuda
