// SiLU of one number (native/ops/silu.h), for the kernels that apply it in passing.
#pragma once

#include "common/image.h"

namespace diffuse::cuda {

// σ(x) for images of T.
template <typename T = float>
__device__ __forceinline__ float sigmoid(float x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    // expf is off by 2 ulp at most and the division by half an ulp: good to 4e-7.
    return 1.0f / (1.0f + expf(-x));
  } else {
    // __expf is off by 2 + 1.2 |x| ulp, __fdividef by 2 ulp: good to 1.3e-5, where bf16 keeps 4e-3.
    return __fdividef(1.0f, 1.0f + __expf(-x));
  }
}

template <typename T = float>
__device__ __forceinline__ float silu(float x) {
  return x * sigmoid<T>(x);
}

// d silu / dx
template <typename T = float>
__device__ __forceinline__ float silu_slope(float x) {
  const float s = sigmoid<T>(x);
  return s * fmaf(x, 1.0f - s, 1.0f);
}

}  // namespace diffuse::cuda
