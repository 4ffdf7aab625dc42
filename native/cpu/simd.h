// One vector type over every instruction set. Each kernel file is compiled once per instruction set with DIFFUSE_ISA
// (the name of the namespace: portable, avx2, avx512, amx) defined; everything below has internal linkage, so that no
// function compiled for a newer CPU can replace the portable one at link time.
//
// Floating point contraction is off (-ffp-contract=off): a*b+c rounds twice unless madd() is written. So noise, which
// uses no madd(), has the same bits on every CPU and GPU.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/tensor.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#define DIFFUSE_INLINE static inline __attribute__((always_inline))
#define DIFFUSE_INLINE_MEMBER inline __attribute__((always_inline))
#define DIFFUSE_UNROLL _Pragma("GCC unroll 16")

namespace diffuse::DIFFUSE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kRegisters = 16;
#else
constexpr int kLanes = 4;  // SSE2 and NEON through the compiler's vector extensions
constexpr int kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t VecInt __attribute__((vector_size(4 * kLanes)));

DIFFUSE_INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
DIFFUSE_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

// Numbers of storage format bf16 (engine/tensor.h), widened and rounded to the nearest, ties to even. NaN stays NaN;
// what is below float32's normal range may become zero.
typedef uint16_t VecBits __attribute__((vector_size(2 * kLanes)));
DIFFUSE_INLINE Vec widen(VecBits bits) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)bits), 16);
#elif defined(__AVX2__)
  return (Vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)bits), 16);
#else
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  return (Vec)(__builtin_convertvector(bits, Words) << 16);
#endif
}
DIFFUSE_INLINE VecBits narrow(Vec x) {
#if defined(__AVX512BF16__)
  return (VecBits)_mm512_cvtneps_pbh((__m512)x);
#else
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  const Words word = (Words)x;
  const Words rounded = (word + (0x7fff + ((word >> 16) & 1))) >> 16;
  const Words quiet_nan = (word >> 16) | 0x40;
  return __builtin_convertvector(x == x ? rounded : quiet_nan, VecBits);
#endif
}
DIFFUSE_INLINE Vec load(const bf16* p) {
  VecBits bits;
  std::memcpy(&bits, p, sizeof bits);
  return widen(bits);
}
DIFFUSE_INLINE void store(bf16* p, Vec v) {
  const VecBits bits = narrow(v);
  std::memcpy(p, &bits, sizeof bits);
}

// One number of an image.
DIFFUSE_INLINE float number(const float* p) { return *p; }
DIFFUSE_INLINE float number(const bf16* p) {
  const uint32_t word = static_cast<uint32_t>(p->bits) << 16;
  float x;
  std::memcpy(&x, &word, sizeof x);
  return x;
}
DIFFUSE_INLINE void set_number(float* p, float x) { *p = x; }
DIFFUSE_INLINE void set_number(bf16* p, float x) { p->bits = narrow(x - Vec{})[0]; }

// Past the caches, for what is not read soon: the line need not be fetched before it is written, and what the caches
// hold stays. Only where a vector is a whole cache line, aligned; else an ordinary store.
constexpr bool kStreams = kLanes == 16;
DIFFUSE_INLINE void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#else
  store(p, v);
#endif
}
// The vectors of one such cache line.
DIFFUSE_INLINE void stream(float* p, const Vec (&v)[1]) { stream(p, v[0]); }
DIFFUSE_INLINE void stream(bf16* p, const Vec (&v)[2]) {
#if defined(__AVX512F__)
  const __m512i low = _mm512_castsi256_si512((__m256i)narrow(v[0]));
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), _mm512_inserti64x4(low, (__m256i)narrow(v[1]), 1));
#else
  store(p, v[0]);
  store(p + kLanes, v[1]);
#endif
}
// Before others may read what was streamed.
DIFFUSE_INLINE void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

DIFFUSE_INLINE Vec splat(float x) { return x - Vec{}; }
DIFFUSE_INLINE Vec zero() { return Vec{}; }

// a * b + c, rounded once where the CPU can.
DIFFUSE_INLINE Vec madd(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
// c - a * b
DIFFUSE_INLINE Vec nmadd(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return (Vec)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (Vec)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return c - a * b;
#endif
}

// b where one of them is NaN. (The masked forms of intrinsics here and below: gcc 12 warns of its own unmasked ones.)
DIFFUSE_INLINE Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
DIFFUSE_INLINE Vec min(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}

// Correctly rounded on every CPU.
DIFFUSE_INLINE Vec sqrt(Vec x) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#elif defined(__AVX2__)
  return (Vec)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

// The first n lanes (0 <= n <= kLanes); the rest is zero, memory beyond is not touched.
DIFFUSE_INLINE Vec load_first(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  Vec v{};
  std::memcpy(&v, p, 4 * n);
  return v;
#endif
}
DIFFUSE_INLINE void store_first(float* p, Vec v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  std::memcpy(p, &v, 4 * n);
#endif
}

DIFFUSE_INLINE Vec load_first(const bf16* p, int64_t n) {
#if defined(__AVX512F__)
  return widen((VecBits)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
  VecBits bits{};
  std::memcpy(&bits, p, 2 * n);
  return widen(bits);
#endif
}
DIFFUSE_INLINE void store_first(bf16* p, Vec v, int64_t n) {
  const VecBits bits = narrow(v);
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)bits);
#else
  std::memcpy(p, &bits, 2 * n);
#endif
}

#if defined(__AVX512F__)
// combine(lane, lane) of halves, then of the halves of those, until one lane is left.
template <typename Combine>
DIFFUSE_INLINE float fold_lanes(Vec v, Combine&& combine) {
  v = combine(v, (Vec)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)v, (__m512)v, 0x4e));
  v = combine(v, (Vec)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)v, (__m512)v, 0xb1));
  v = combine(v, (Vec)_mm512_maskz_permute_ps(0xffff, (__m512)v, 0x4e));
  v = combine(v, (Vec)_mm512_maskz_permute_ps(0xffff, (__m512)v, 0xb1));
  return v[0];
}
#endif

// Sum of the lanes, in a fixed order (pairwise halves).
DIFFUSE_INLINE float sum_lanes(Vec v) {
#if defined(__AVX512F__)
  return fold_lanes(v, [](Vec a, Vec b) { return a + b; });
#else
  float lanes[kLanes];
  store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
#endif
}
DIFFUSE_INLINE float max_lanes(Vec v) {
#if defined(__AVX512F__)
  return fold_lanes(v, [](Vec a, Vec b) { return max(a, b); });
#else
  float lanes[kLanes];
  store(lanes, v);
  float m = lanes[0];
  for (int i = 1; i < kLanes; i++) m = lanes[i] > m ? lanes[i] : m;
  return m;
#endif
}

// e^x to 2 ulp for x in [-87, 88]; smaller arguments give about 1e-38, larger ones infinity is not reached: 3e38. NaN
// stays NaN. Cody-Waite reduction to |r| <= ln2/2 and a degree-6 polynomial.
DIFFUSE_INLINE Vec exp(Vec x) {
  Vec clamped = max(splat(-87.3365478515625f), min(splat(88.3762626647949f), x));
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, whose bits are then the low bits of the sum.
  Vec magic = splat(12582912.0f);
  Vec shifted = madd(clamped, splat(1.44269504088896341f), magic);
  Vec n = shifted - magic;
  Vec r = nmadd(n, splat(0.693359375f), clamped);
  r = nmadd(n, splat(-2.12194440e-4f), r);
  Vec p = splat(1.9875691500e-4f);
  p = madd(p, r, splat(1.3981999507e-3f));
  p = madd(p, r, splat(8.3334519073e-3f));
  p = madd(p, r, splat(4.1665795894e-2f));
  p = madd(p, r, splat(1.6666665459e-1f));
  p = madd(p, r, splat(5.0000001201e-1f));
  p = madd(p, r * r, r + splat(1.0f));
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n);
#else
  VecInt exponent = ((VecInt)shifted - (VecInt)magic) << 23;
  // Two steps, so that n = 128 does not overflow the exponent field.
  VecInt half = exponent / 2 & ~0x7fffff;
  VecInt one = (VecInt)splat(1.0f);
  return p * (Vec)(one + half) * (Vec)(one + (exponent - half));
#endif
}

// 1 / (1 + e^-x) to 3 ulp.
DIFFUSE_INLINE Vec sigmoid(Vec x) {
  Vec denominator = splat(1.0f) + exp(-x);
#if defined(__AVX512F__)
  // The 14 good bits of the CPU's estimate become 24 by a step of Newton's method: a third of a division's time.
  Vec estimate = (Vec)_mm512_maskz_rcp14_ps(0xffff, (__m512)denominator);
  return madd(estimate, nmadd(denominator, estimate, splat(1.0f)), estimate);
#else
  return splat(1.0f) / denominator;
#endif
}

// The same to 2e-4, a tenth of what rounding to bf16 does, in half the time.
DIFFUSE_INLINE Vec rough_sigmoid(Vec x) {
#if defined(__AVX512F__)
  const Vec t = x * splat(-1.44269504088896341f);
  const Vec n = (Vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Vec f = t - n;
  // 2^f for |f| <= 1/2 to 8e-5, by least squares of the relative error.
  Vec p = madd(f, splat(5.517154e-2f), splat(2.4261104e-1f));
  p = madd(p, f, splat(6.9326097e-1f));
  p = madd(p, f, splat(9.9992806e-1f));
  const Vec denominator = (Vec)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n) + splat(1.0f);
  return (Vec)_mm512_maskz_rcp14_ps(0xffff, (__m512)denominator);
#else
  return sigmoid(x);
#endif
}

// As exactly as images of T can hold it.
template <typename T>
DIFFUSE_INLINE Vec sigmoid_for(Vec x) {
  return sizeof(T) == sizeof(float) ? sigmoid(x) : rough_sigmoid(x);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
