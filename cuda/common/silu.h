// SiLU of one number (native/ops/silu.h), for the kernels that apply it in passing.
#pragma once

namespace diffuse::cuda {

// expf is off by 2 ulp at most and the division by half an ulp, so σ is good to 4e-7.
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }

// d silu / dx
__device__ __forceinline__ float silu_slope(float x) {
  const float s = sigmoid(x);
  return s * fmaf(x, 1.0f - s, 1.0f);
}

}  // namespace diffuse::cuda
