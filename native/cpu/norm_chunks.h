// What the steps of group normalisation and of its gradient have in common: numbers of every channel over chunks of
// pixels, [N, Q, numbers, C], and the slabs of channels that are worked on at a time (ops/group_norm.h has the legend).
#pragma once

#include <math.h>

#include "cpu/expect_norm.h"
#include "cpu/normalise.h"
#include "cpu/rows.h"
#include "ops/group_norm.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// [N, Q, numbers, C] beside x, Q chunks of `chunk` pixels.
static inline void expect_chunks(const char* kernel, const char* name, const Tensor& t, const Tensor& x, double chunk,
                                 int64_t numbers) {
  if (!(chunk >= 1) || chunk != static_cast<double>(static_cast<int64_t>(chunk)))
    fail("ERR_ARGUMENT", kernel, "chunk must be an integer of 1 or more, got %g", chunk);
  const Sizes size = sizes(x);
  expect_shape(kernel, name, t, size.N, ceil_div(size.P, static_cast<int64_t>(chunk)), numbers, size.C);
}

static inline void expect_chunk_count(const char* kernel, double pixels, double chunk, int64_t chunks) {
  if (!(chunk >= 1 && pixels >= 1 && ::ceil(pixels / chunk) == static_cast<double>(chunks)))
    fail("ERR_ARGUMENT", kernel, "%g pixels in chunks of %g are not %lld chunks", pixels, chunk, (long long)chunks);
}

// Row `which` of chunk q of sample n.
DIFFUSE_INLINE float* chunk_row(const Tensor& t, int64_t n, int64_t q, int64_t which) {
  return row(t, (n * t.shape[1] + q) * t.shape[2] + which);
}

// body(n, q, first, last) for every chunk of every sample: its pixels are [first, last) of the sample.
template <typename Body>
DIFFUSE_INLINE void parallel_chunks(const Call& call, const Sizes& size, int64_t chunk, Body&& body) {
  const int64_t chunks = ceil_div(size.P, chunk);
  parallel_items(call, size.N * chunks, smaller(chunk, size.P) * size.C, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t first = i % chunks * chunk;
      body(i / chunks, i % chunks, first, smaller(first + chunk, size.P));
    }
  });
}

// Mean of channel c over chunk q. A sum in double: the shift may be far larger than the deviation from it.
DIFFUSE_INLINE double chunk_mean(const Tensor& moments, int64_t n, int64_t q, int64_t c) {
  return static_cast<double>(chunk_row(moments, n, q, 0)[c]) + chunk_row(moments, n, q, 1)[c];
}

// Channels whose numbers are worked out at a time, on the stack.
constexpr int64_t kSlab = 256;

// body(norm, first, count) for the slabs of channels of sample n.
template <typename Body>
DIFFUSE_INLINE void for_each_slab(int64_t n, int64_t C, const Tensor& mean, const Tensor& rstd, const Tensor& gamma,
                                  const Tensor& beta, Body&& body) {
  for (int64_t first = 0; first < C; first += kSlab) {
    const int64_t count = smaller(kSlab, C - first);
    ChannelNorm<kSlab> norm;
    gather(norm, n, first, count, mean, rstd, gamma, beta);
    body(norm, first, count);
  }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
