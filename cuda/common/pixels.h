// Walks over images [rows, channels]: the threads of the whole grid take packs of neighbouring channels in turns, so
// that neighbouring threads touch neighbouring memory.
#pragma once

#include "common/image.h"

namespace diffuse::cuda {

// How many elements are worked on at once, as a type: constexpr int N = decltype(width)::value.
template <int N>
struct Width {
  static constexpr int value = N;
};

// Whether N elements of all the views lie side by side, aligned to all of them, and none is left over.
template <int N, typename... Views>
__device__ __forceinline__ bool is_wide(const Views&... views) {
  return ((views.alignment >= N) && ...);
}

// body(row, channel) for the first channel of every pack of N; the last pack of a row may be shorter. The grid is
// one-dimensional and may be of any size; only the first pack's place takes a division.
template <int N, typename Body>
__device__ __forceinline__ void for_each_pack(int64_t rows, int32_t channels, Body&& body) {
  const uint32_t packs = (static_cast<uint32_t>(channels) + N - 1) / N;
  const uint32_t threads = gridDim.x * blockDim.x, thread = blockIdx.x * blockDim.x + threadIdx.x;
  const uint32_t step_rows = threads / packs, step_packs = threads % packs;
  int64_t row = thread / packs;
  uint32_t pack = thread % packs;
  while (row < rows) {
    body(row, static_cast<int32_t>(pack * N));
    row += step_rows;
    pack += step_packs;
    if (pack >= packs) {
      pack -= packs;
      row++;
    }
  }
}

// body(width, row, channel) for all packs of `image`: Wide elements where all views allow it, else one.
template <int Wide, typename Body, typename... Views>
__device__ __forceinline__ void for_each_pack_of(const View& image, Body&& body, const Views&... others) {
  if (is_wide<Wide>(image, others...)) {
    for_each_pack<Wide>(image.rows, image.channels, [&](int64_t r, int32_t c) { body(Width<Wide>{}, r, c); });
  } else {
    for_each_pack<1>(image.rows, image.channels, [&](int64_t r, int32_t c) { body(Width<1>{}, r, c); });
  }
}

}  // namespace diffuse::cuda
