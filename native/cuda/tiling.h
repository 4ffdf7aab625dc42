// Chooses how launches divide images (cuda/arguments/tiling.h).
#pragma once

#include <algorithm>
#include <initializer_list>

#include "cuda/arguments/tiling.h"
#include "cuda/kernel.h"

namespace diffuse::cuda {

static inline int64_t samples_of(const Tensor& image) { return image.rank > 1 ? image.shape[0] : 1; }

// Neighbouring channels that can be loaded and stored at once in all of these images of one format: as many as 128 bits
// hold, or 1.
static inline int32_t common_width(std::initializer_list<const Tensor*> images) {
  const int32_t wide = (*images.begin())->dtype == DType::bf16 ? 8 : 4;
  for (const Tensor* image : images)
    if (view(*image).alignment < wide) return 1;
  return wide;
}

// For ops that sum nothing: as many threads side by side as a row has packs, and pixels enough for each that what it
// worked out of its channels is used again, but not so many that the GPU is not filled.
static inline Tiling tile(const Tensor& image, int32_t width, const Limits& limits) {
  constexpr int64_t kBlocksOfMultiprocessor = 4, kMostSteps = 16;
  const int64_t N = samples_of(image), packs = blocks_of(channels(image), width);
  Tiling t{};
  t.pixels = rows(image) / N;
  t.width = width;
  t.column_blocks = static_cast<int32_t>(blocks_of(packs, kTilingThreads));
  t.columns = static_cast<int32_t>(blocks_of(packs, t.column_blocks));
  t.height = kTilingThreads / t.columns;
  const int64_t all_steps = N * blocks_of(t.pixels, t.height) * t.column_blocks;
  const int64_t steps = all_steps / (kBlocksOfMultiprocessor * limits.multiprocessors);
  t.block_pixels = t.height * std::clamp<int64_t>(steps, 1, kMostSteps);
  t.blocks = blocks_of(t.pixels, t.block_pixels);
  return t;
}

// For sums over the pixels of chunks: a power of two of threads side by side, so that the sums of a warp's threads meet
// by shuffles, and few, so that there are many blocks and a warp still reads whole lines of memory. Nothing here
// depends on the GPU or on the number of samples, so a sample's sums have the same bits everywhere.
static inline Tiling tile_chunks(const Tensor& image, int32_t width, int64_t chunk) {
  const int64_t packs = blocks_of(channels(image), width);
  const int32_t most = width == 1 ? 32 : 8;
  Tiling t{};
  t.pixels = rows(image) / samples_of(image);
  t.block_pixels = chunk;
  t.blocks = blocks_of(t.pixels, chunk);
  t.width = width;
  t.columns = 1;
  while (t.columns < most && t.columns < packs) t.columns *= 2;
  t.column_blocks = static_cast<int32_t>(blocks_of(packs, t.columns));
  t.height = kTilingThreads / t.columns;
  return t;
}

// For sums over all pixels: chunks for which a thread sums few pixels, so that it can in float32, and that leave few
// sums.
static inline Tiling tile_parts(const Tensor& image, int32_t width) {
  constexpr int64_t kParts = 16, kFewestSteps = 8, kMostSteps = 64;
  Tiling t = tile_chunks(image, width, 1);
  t.block_pixels = t.height * std::clamp(t.pixels / (t.height * kParts), kFewestSteps, kMostSteps);
  t.blocks = blocks_of(t.pixels, t.block_pixels);
  return t;
}
// Bytes of what its blocks leave, so many float64 numbers a channel, whatever width the images turn out to allow.
static inline size_t parts_bytes(const Tensor& image, int64_t numbers) {
  const int32_t wide = image.dtype == DType::bf16 ? 8 : 4;
  const int64_t blocks = std::max(tile_parts(image, 1).blocks, tile_parts(image, wide).blocks);
  return sizeof(double) * static_cast<size_t>(samples_of(image) * blocks * numbers * channels(image));
}
// The grid of part_column_of (cuda/common/line_sums.h).
static inline Grid grid_of_columns(int64_t samples, int64_t columns) {
  return {samples * blocks_of(columns, kPartColumns)};
}

static inline int threads_of(const Tiling& t) { return static_cast<int>(blocks_of(t.columns * t.height, 32) * 32); }
static inline Grid grid_of(const Tiling& t, int64_t samples) { return {samples * t.blocks * t.column_blocks}; }

}  // namespace diffuse::cuda
