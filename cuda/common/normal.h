// Normal numbers with the CPU's bits: native/cpu/philox.h, operation by operation, none fused.
#pragma once

#include "common/philox.h"
#include "common/unfused.h"

namespace diffuse::cuda {

// ln x for normal x > 0: Cephes' logf.
__device__ __forceinline__ float log_unfused(float x) {
  const int32_t bits = __float_as_int(x), exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: sqrt(1/2)
  const float f = __fadd_rn(__int_as_float(bits - (exponent << 23)), -1.0f), e = __int2float_rn(exponent),
              square = __fmul_rn(f, f);
  float p = 7.0376836292e-2f;
  p = multiply_add(p, f, -1.1514610310e-1f);
  p = multiply_add(p, f, 1.1676998740e-1f);
  p = multiply_add(p, f, -1.2420140846e-1f);
  p = multiply_add(p, f, 1.4249322787e-1f);
  p = multiply_add(p, f, -1.6668057665e-1f);
  p = multiply_add(p, f, 2.0000714765e-1f);
  p = multiply_add(p, f, -2.4999993993e-1f);
  p = multiply_add(p, f, 3.3333331174e-1f);
  p = __fmul_rn(__fmul_rn(p, f), square);
  p = multiply_add(e, -2.12194440e-4f, p);
  p = multiply_add(square, -0.5f, p);
  return multiply_add(e, 0.693359375f, __fadd_rn(f, p));
}

// cos and sin of 2π turns / 2^24 for integers turns in [0, 2^24): Cephes' cosf and sinf of what a whole number of
// quarter turns leaves.
__device__ __forceinline__ void cos_sin_unfused(uint32_t turns, float& cosine, float& sine) {
  const uint32_t quarter = (turns + (1u << 21)) >> 22;
  // 0x1.921fb6p-22: 2π / 2^24
  const float t = __fmul_rn(__int2float_rn(static_cast<int32_t>(turns - (quarter << 22))), 0x1.921fb6p-22f);
  const float z = __fmul_rn(t, t);
  float s = -1.9515295891e-4f;
  s = multiply_add(s, z, 8.3321608736e-3f);
  s = multiply_add(s, z, -1.6666654611e-1f);
  s = multiply_add(__fmul_rn(s, z), t, t);
  float c = 2.443315711809948e-5f;
  c = multiply_add(c, z, -1.388731625493765e-3f);
  c = multiply_add(c, z, 4.166664568298827e-2f);
  c = __fadd_rn(__fadd_rn(__fmul_rn(__fmul_rn(c, z), z), __fmul_rn(z, -0.5f)), 1.0f);
  // A quarter turn more: (cos, sin) becomes (-sin, cos).
  const bool swapped = quarter & 1;
  const uint32_t cosine_sign = ((quarter + 1) & 2) << 30, sine_sign = (quarter & 2) << 30;
  cosine = __uint_as_float(__float_as_uint(swapped ? s : c) ^ cosine_sign);
  sine = __uint_as_float(__float_as_uint(swapped ? c : s) ^ sine_sign);
}

// Two normal numbers from the words of an even and the following odd element (Box and Muller 1958).
__device__ __forceinline__ float2 box_muller(uint32_t a, uint32_t b) {
  const float w = __fmul_rn(__uint2float_rn((a >> 8) + 1), 0x1p-24f);
  const float radius = __fsqrt_rn(__fmul_rn(log_unfused(w), -2.0f));
  float cosine, sine;
  cos_sin_unfused(b >> 8, cosine, sine);
  return {__fmul_rn(radius, cosine), __fmul_rn(radius, sine)};
}

// Those of the elements 4 block … 4 block + 3 of a sample.
__device__ __forceinline__ void normals(float (&z)[4], const Stream& stream, uint32_t sample, uint32_t block) {
  const uint4 words = philox(stream, sample, block);
  const float2 low = box_muller(words.x, words.y), high = box_muller(words.z, words.w);
  z[0] = low.x;
  z[1] = low.y;
  z[2] = high.x;
  z[3] = high.y;
}

}  // namespace diffuse::cuda
