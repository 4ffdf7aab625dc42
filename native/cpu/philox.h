// Philox4x32-10 and its normal numbers, several counters at a time. ops/random.h defines the stream. Whoever writes a
// twin for another device must repeat every operation on float32 below in the same order, each rounded to nearest, none
// fused.
#pragma once

#include "cpu/rows.h"
#include "ops/random.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace diffuse::DIFFUSE_ISA {
namespace {

typedef uint32_t VecWord __attribute__((vector_size(4 * kLanes)));
typedef uint64_t VecWide __attribute__((vector_size(4 * kLanes)));

// A stream of random numbers: all of the counter but the element and the sample.
struct Stream {
  uint32_t seed_low, seed_high, step, purpose, sample_offset;
};

// An attribute that must be a 32-bit word.
static inline uint32_t word(const char* kernel, const char* name, double value) {
  if (!(value >= 0 && value <= 4294967295.0 && value == static_cast<double>(static_cast<uint64_t>(value))))
    fail("ERR_ARGUMENT", kernel, "%s must be an integer in [0, 2^32), got %g", name, value);
  return static_cast<uint32_t>(value);
}
static inline Stream make_stream(const char* kernel, double seedLow, double seedHigh, double step, double purpose,
                                 double sampleOffset) {
  return {word(kernel, "seedLow", seedLow), word(kernel, "seedHigh", seedHigh), word(kernel, "step", step),
          word(kernel, "purpose", purpose), word(kernel, "sampleOffset", sampleOffset)};
}

// --- The generator

// 64-bit products of the low halves of a's lanes with a constant; the high halves are ignored.
DIFFUSE_INLINE VecWide multiply_low_halves(VecWide a, uint32_t b) {
#if defined(__AVX512F__)
  return (VecWide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
  return (VecWide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
  return (VecWide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
  return (a & 0xffffffffu) * b;
#endif
}

// Ten rounds. Words are the low halves of the lanes; what gathers in the high halves is ignored.
DIFFUSE_INLINE void philox_rounds(VecWide (&x)[4], uint32_t key0, uint32_t key1) {
  DIFFUSE_UNROLL for (int round = 0; round < 10; round++) {
    const VecWide product0 = multiply_low_halves(x[0], 0xD2511F53u), product1 = multiply_low_halves(x[2], 0xCD9E8D57u);
    x[0] = (product1 >> 32) ^ x[1] ^ key0;
    x[1] = product1;
    x[2] = (product0 >> 32) ^ x[3] ^ key1;
    x[3] = product0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// Lane i of words[j] is word j of the counter (block + i, sample, step, purpose): that of element 4 (block + i) + j.
DIFFUSE_INLINE void philox(const Stream& stream, uint32_t sample, uint32_t block, VecWord (&words)[4]) {
  VecWide even[4] = {}, odd[4] = {};
  for (int i = 0; i < kLanes / 2; i++) {
    even[0][i] = block + 2 * i;
    odd[0][i] = block + 2 * i + 1;
  }
  const uint32_t rest[3] = {sample + stream.sample_offset, stream.step, stream.purpose};
  DIFFUSE_UNROLL for (int j = 1; j < 4; j++) even[j] = odd[j] = VecWide{} + rest[j - 1];
  philox_rounds(even, stream.seed_low, stream.seed_high);
  philox_rounds(odd, stream.seed_low, stream.seed_high);
  DIFFUSE_UNROLL for (int j = 0; j < 4; j++) {
    VecWord low = (VecWord)(even[j] & 0xffffffffu), high = (VecWord)(odd[j] << 32);
    words[j] = low | high;
  }
}

// The word of one element.
DIFFUSE_INLINE uint32_t philox_word(const Stream& stream, uint32_t sample, uint32_t element) {
  VecWord words[4];
  philox(stream, sample, element / 4, words);
  return words[element % 4][0];
}

// --- From words to numbers

// floor(word / 2^8) / 2^24, exactly: uniform in [0, 1).
DIFFUSE_INLINE Vec uniform(VecWord x) { return __builtin_convertvector((VecInt)(x >> 8), Vec) * splat(0x1p-24f); }

// ln x for normal x > 0, to 1 ulp: x = 2^e m with m in [sqrt(1/2), sqrt(2)), ln x = e ln 2 + ln(1 + f) with f = m - 1;
// the polynomial is that of logf in Moshier's Cephes library, ln 2 is split into a short and a small part.
DIFFUSE_INLINE Vec log_unfused(Vec x) {
  const VecInt bits = (VecInt)x, exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: sqrt(1/2)
  const Vec f = (Vec)(bits - (exponent << 23)) - splat(1.0f), e = __builtin_convertvector(exponent, Vec),
            square = f * f;
  Vec p = splat(7.0376836292e-2f);
  p = p * f + splat(-1.1514610310e-1f);
  p = p * f + splat(1.1676998740e-1f);
  p = p * f + splat(-1.2420140846e-1f);
  p = p * f + splat(1.4249322787e-1f);
  p = p * f + splat(-1.6668057665e-1f);
  p = p * f + splat(2.0000714765e-1f);
  p = p * f + splat(-2.4999993993e-1f);
  p = p * f + splat(3.3333331174e-1f);
  p = p * f * square;
  p = p + e * splat(-2.12194440e-4f);
  p = p - square * splat(0.5f);
  return (f + p) + e * splat(0.693359375f);
}

// cos and sin of 2π turns / 2^24 for integers turns in [0, 2^24), to 2 ulp: the nearest quarter turn is taken off
// exactly, which leaves an angle in [-π/4, π/4] for the polynomials of Cephes' sinf and cosf.
DIFFUSE_INLINE void cos_sin_unfused(VecWord turns, Vec& cosine, Vec& sine) {
  const VecWord quarter = (turns + (1u << 21)) >> 22;
  // 0x1.921fb6p-22: 2π / 2^24
  const Vec t = __builtin_convertvector((VecInt)turns - (VecInt)(quarter << 22), Vec) * splat(0x1.921fb6p-22f);
  const Vec z = t * t;
  Vec s = splat(-1.9515295891e-4f);
  s = s * z + splat(8.3321608736e-3f);
  s = s * z + splat(-1.6666654611e-1f);
  s = s * z * t + t;
  Vec c = splat(2.443315711809948e-5f);
  c = c * z + splat(-1.388731625493765e-3f);
  c = c * z + splat(4.166664568298827e-2f);
  c = c * z * z - z * splat(0.5f) + splat(1.0f);
  // A quarter turn more: (cos, sin) becomes (-sin, cos).
  const VecInt swapped = (VecInt)(quarter & 1) != 0;
  const VecInt cosine_sign = (VecInt)(((quarter + 1) & 2) << 30), sine_sign = (VecInt)((quarter & 2) << 30);
  cosine = (Vec)((VecInt)(swapped ? s : c) ^ cosine_sign);
  sine = (Vec)((VecInt)(swapped ? c : s) ^ sine_sign);
}

// Two vectors of normal numbers from the words of even and odd elements.
DIFFUSE_INLINE void box_muller(VecWord a, VecWord b, Vec& even, Vec& odd) {
  const Vec w = __builtin_convertvector((VecInt)(a >> 8) + 1, Vec) * splat(0x1p-24f);
  const Vec radius = sqrt(log_unfused(w) * splat(-2.0f));
  Vec cosine, sine;
  cos_sin_unfused(b >> 8, cosine, sine);
  even = radius * cosine;
  odd = radius * sine;
}

// --- Runs of elements: 4 vectors that hold the elements [first, first + kRun) of a sample, first a multiple of kRun.

constexpr int64_t kRun = 4 * kLanes;

struct Run {
  Vec at[4];
};

// a0 b0 a1 b1 …: the low half of both vectors, then the high half.
DIFFUSE_INLINE Vec zip_low(Vec a, Vec b) {
  VecInt index;
  for (int i = 0; i < kLanes; i++) index[i] = i / 2 + (i % 2) * kLanes;
  return __builtin_shuffle(a, b, index);
}
DIFFUSE_INLINE Vec zip_high(Vec a, Vec b) {
  VecInt index;
  for (int i = 0; i < kLanes; i++) index[i] = (kLanes + i) / 2 + (i % 2) * kLanes;
  return __builtin_shuffle(a, b, index);
}
// From lanes that hold elements 4i + j to elements in order.
DIFFUSE_INLINE Run in_order(Vec x0, Vec x1, Vec x2, Vec x3) {
  const Vec even_low = zip_low(x0, x2), even_high = zip_high(x0, x2), odd_low = zip_low(x1, x3),
            odd_high = zip_high(x1, x3);
  return {{zip_low(even_low, odd_low), zip_high(even_low, odd_low), zip_low(even_high, odd_high),
           zip_high(even_high, odd_high)}};
}

DIFFUSE_INLINE Run uniform_run(const Stream& stream, int64_t sample, int64_t first) {
  VecWord words[4];
  philox(stream, static_cast<uint32_t>(sample), static_cast<uint32_t>(first / 4), words);
  return in_order(uniform(words[0]), uniform(words[1]), uniform(words[2]), uniform(words[3]));
}

DIFFUSE_INLINE Run normal_run(const Stream& stream, int64_t sample, int64_t first) {
  VecWord words[4];
  philox(stream, static_cast<uint32_t>(sample), static_cast<uint32_t>(first / 4), words);
  Vec x[4];
  box_muller(words[0], words[1], x[0], x[1]);
  box_muller(words[2], words[3], x[2], x[3]);
  return in_order(x[0], x[1], x[2], x[3]);
}

// --- Reading and writing runs of a tensor [N, ...]. The sample is the index in the first dimension.

struct Samples {
  int64_t N, E;  // samples, elements of a sample
};
DIFFUSE_INLINE Samples samples(const Tensor& t) { return {t.shape[0], elements(t) / t.shape[0]}; }

// body(n, first, count) for all runs of all samples; count is kRun, or less at the end of a sample.
template <typename Body>
DIFFUSE_INLINE void parallel_runs(const Call& call, const Samples& size, Body&& body) {
  const int64_t chunk = kGrain / 4, chunks = ceil_div(size.E, chunk);
  parallel_items(call, size.N * chunks, 4 * larger(kRun, smaller(chunk, size.E)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t last = smaller(size.E, (i % chunks + 1) * chunk);
      for (int64_t first = i % chunks * chunk; first < last; first += kRun)
        body(i / chunks, first, smaller(kRun, last - first));
    }
  });
}

// Where a sample's elements lie. A slice of channels is read and written element by element, which is slow and rare.
template <typename T>
struct Elements {
  T* data;
  int64_t channels, row_stride;  // row_stride 0: contiguous
};
template <typename T = float>
DIFFUSE_INLINE Elements<T> elements_of(const Tensor& t, int64_t n) {
  if (is_contiguous(t)) return {data_of<T>(t) + n * (elements(t) / t.shape[0]), 0, 0};
  return {data_of<T>(t) + n * (rows(t) / t.shape[0]) * t.row_stride, channels(t), t.row_stride};
}
template <typename T>
DIFFUSE_INLINE T* element(const Elements<T>& e, int64_t index) {
  return e.data + index / e.channels * e.row_stride + index % e.channels;
}

template <typename T>
DIFFUSE_INLINE Run load_run(const Elements<T>& from, int64_t first, int64_t count) {
  Run run;
  if (count == kRun && from.row_stride == 0) {
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) run.at[v] = load(from.data + first + v * kLanes);
    return run;
  }
  T buffer[kRun] = {};
  for (int64_t i = 0; i < count; i++) buffer[i] = from.row_stride ? *element(from, first + i) : from.data[first + i];
  DIFFUSE_UNROLL for (int v = 0; v < 4; v++) run.at[v] = load(buffer + v * kLanes);
  return run;
}

template <typename T>
DIFFUSE_INLINE void store_run(const Elements<T>& to, int64_t first, int64_t count, const Run& run) {
  if (count == kRun && to.row_stride == 0) {
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) store(to.data + first + v * kLanes, run.at[v]);
    return;
  }
  T buffer[kRun];
  DIFFUSE_UNROLL for (int v = 0; v < 4; v++) store(buffer + v * kLanes, run.at[v]);
  for (int64_t i = 0; i < count; i++) *(to.row_stride ? element(to, first + i) : to.data + first + i) = buffer[i];
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
