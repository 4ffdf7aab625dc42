// How the host shows tensors to kernels that go element by element, and how many blocks it gives them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "cuda/kernel.h"

namespace diffuse::cuda {

// Views hold the length of a row in 32 bits.
constexpr int64_t kLongestRow = INT32_MAX;

static inline bool fits_rows(const Tensor& tensor, int64_t rows) {
  return !tensor.data || (is_contiguous(tensor) && elements(tensor) / rows <= kLongestRow);
}

// A contiguous tensor as `rows` equal rows: long rows are loaded in 128 bits whatever the number of channels.
static inline View view_as(const Tensor& tensor, int64_t rows) {
  if (!tensor.data || !fits_rows(tensor, rows)) return view(tensor);
  const int64_t length = elements(tensor) / rows;
  return view(Tensor{tensor.data, tensor.dtype, 2, {rows, length}, length});
}

// Of tensors of one shape: each as `rows` equal rows if all of them are contiguous, else as they are.
template <typename... Tensors>
static inline std::array<View, sizeof...(Tensors)> views_of_rows(int64_t rows, const Tensors&... tensors) {
  if ((fits_rows(tensors, rows) && ...)) return {view_as(tensors, rows)...};
  return {view(tensors)...};
}
template <typename... Tensors>
static inline std::array<View, sizeof...(Tensors)> flat_views(const Tensors&... tensors) {
  return views_of_rows(1, tensors...);
}

// Some rounds of as many blocks as a GPU holds at once, if there is work for them: multiprocessors that are done early
// take more of them, also where registers let fewer run at once. Threads take what is left in turns, so that what a
// block works out first is used often.
static inline Grid grid_for(int64_t items, int threads, const Limits& limits) {
  constexpr int64_t kRounds = 4;
  const int64_t most = kRounds * limits.multiprocessors * (limits.threads_per_multiprocessor / threads);
  return {std::clamp<int64_t>(blocks_of(items, threads), 1, most)};
}

// The same for as many elements of an image as 128 bits hold at a time.
static inline Grid grid_for_image(const Tensor& image, int threads, const Limits& limits) {
  return grid_for(blocks_of(elements(image), image.dtype == DType::bf16 ? 8 : 4), threads, limits);
}

}  // namespace diffuse::cuda
