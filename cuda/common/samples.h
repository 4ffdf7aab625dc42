// Loads and stores of the elements of samples, a few at a time.
#pragma once

#include "common/pixels.h"
#include "cuda/arguments/samples.h"

namespace diffuse::cuda {

// Elements that share a counter of Philox.
constexpr int kRun = 4;

// An element of sample n. The host shows contiguous tensors as one row a sample (native/cuda/views.h); others take a
// division.
template <typename T>
__device__ __forceinline__ T* element(const View& view, const Samples& samples, int64_t n, int32_t index) {
  if (view.rows == samples.count) return row<T>(view, n) + index;
  const uint32_t channels = static_cast<uint32_t>(view.channels), at = static_cast<uint32_t>(index);
  return row<T>(view, n * (static_cast<uint32_t>(samples.elements) / channels) + at / channels) + at % channels;
}

// N elements from `first`, a multiple of N; fewer at the end of a sample, at least one, then the rest is 0. Where rows
// are a multiple of N no run of elements is cut by a row's end.
template <int N, typename T>
__device__ __forceinline__ void load_run(float (&values)[N], const View& view, const Samples& samples, int64_t n,
                                         int32_t first) {
  if (is_wide<N>(view)) return load(values, element<const T>(view, samples, n, first));
#pragma unroll
  for (int i = 0; i < N; i++)
    values[i] =
        i == 0 || first + i < samples.elements ? to_float(*element<const T>(view, samples, n, first + i)) : 0.0f;
}

template <int N, typename T>
__device__ __forceinline__ void store_run(const View& view, const Samples& samples, int64_t n, int32_t first,
                                          const float (&values)[N]) {
  if (is_wide<N>(view)) return store(element<T>(view, samples, n, first), values);
#pragma unroll
  for (int i = 0; i < N; i++)
    if (i == 0 || first + i < samples.elements) *element<T>(view, samples, n, first + i) = from_float<T>(values[i]);
}

}  // namespace diffuse::cuda
