// What kernels demand of their arguments, said once: each function throws ERR_SHAPE or ERR_ARGUMENT through fail().
#pragma once

#include <stdio.h>

#include "engine/kernel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// The tensors, or the attributes, of a call under the names of its signature:
//   const auto& [y, x] = tensors<2>(call);
template <int Count>
static inline const Tensor (&tensors(const Call& call))[Count] {
  return *reinterpret_cast<const Tensor(*)[Count]>(call.tensors);
}
template <int Count>
static inline const double (&attributes(const Call& call))[Count] {
  return *reinterpret_cast<const double(*)[Count]>(call.attributes);
}

// "[16, 32, 32, 3]"
struct ShapeText {
  char text[128];
};
static inline ShapeText describe(const int64_t* shape, int rank) {
  ShapeText result;
  int used = snprintf(result.text, sizeof result.text, "[");
  for (int i = 0; i < rank; i++)
    used += snprintf(result.text + used, sizeof result.text - used, i ? ", %lld" : "%lld", (long long)shape[i]);
  snprintf(result.text + used, sizeof result.text - used, "]");
  return result;
}
static inline ShapeText describe(const Tensor& t) { return describe(t.shape, t.rank); }

// expect_shape("add", "b", b, N, H, W, C)
template <typename... Size>
static inline void expect_shape(const char* kernel, const char* name, const Tensor& t, Size... sizes) {
  const int64_t shape[] = {static_cast<int64_t>(sizes)...};
  constexpr int rank = sizeof...(sizes);
  bool fits = t.rank == rank;
  for (int i = 0; fits && i < rank; i++) fits = t.shape[i] == shape[i];
  if (!fits)
    fail("ERR_SHAPE", kernel, "%s has shape %s, expected %s", name, describe(t).text, describe(shape, rank).text);
}

static inline void expect_same_shape(const char* kernel, const char* name, const Tensor& t, const Tensor& as) {
  if (!same_shape(t, as))
    fail("ERR_SHAPE", kernel, "%s has shape %s, expected %s", name, describe(t).text, describe(as).text);
}

static inline void expect_rank(const char* kernel, const char* name, const Tensor& t, int low, int high) {
  if (t.rank < low || t.rank > high)
    fail("ERR_SHAPE", kernel, "%s has shape %s, expected %d to %d dimensions", name, describe(t).text, low, high);
}

// For the small tensors that kernels index directly: statistics, parameters, one number a sample.
static inline void expect_contiguous(const char* kernel, const char* name, const Tensor& t) {
  if (!is_contiguous(t)) fail("ERR_SHAPE", kernel, "%s must be contiguous, not a slice of channels", name);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
