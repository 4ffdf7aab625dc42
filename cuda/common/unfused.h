// Products and sums that are rounded one by one, as the CPU's kernels round them where they say no madd().
#pragma once

namespace diffuse::cuda {

// a b + c
__device__ __forceinline__ float multiply_add(float a, float b, float c) { return __fadd_rn(__fmul_rn(a, b), c); }

// a b + c d
__device__ __forceinline__ float mix(float a, float b, float c, float d) {
  return __fadd_rn(__fmul_rn(a, b), __fmul_rn(c, d));
}

// In [-limit, limit]; the operands' order lets NaN through.
__device__ __forceinline__ float clamp(float x, float limit) {
  const float above = -limit > x ? -limit : x;
  return limit < above ? limit : above;
}

}  // namespace diffuse::cuda
