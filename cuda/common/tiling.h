// Walks over images whose channels have numbers of their own (cuda/arguments/tiling.h): a thread keeps to its channels,
// so what belongs to them stays in registers, and the threads of a warp read neighbouring memory.
#pragma once

#include "common/image.h"
#include "common/warp.h"
#include "cuda/arguments/tiling.h"

namespace diffuse::cuda {

// What a thread walks over: its channels, from `channel` on, of the rows first, first + step, … before last.
struct Walk {
  int64_t sample, block;       // block: of the sample, counted along its pixels
  int64_t begin, first, last;  // rows of the image; begin: the block's first; first = last where there is nothing to do
  int32_t step, channel;
};

__device__ __forceinline__ Walk walk_of(const Tiling& t, int32_t channels) {
  const uint32_t column_block = blockIdx.x % t.column_blocks, block = blockIdx.x / t.column_blocks;
  const int32_t line = threadIdx.x / t.columns;
  Walk walk;
  walk.sample = block / static_cast<uint32_t>(t.blocks);
  walk.block = block % static_cast<uint32_t>(t.blocks);
  walk.step = t.height;
  walk.channel = (column_block * t.columns + threadIdx.x % t.columns) * t.width;
  const int64_t pixel = walk.block * t.block_pixels;
  walk.begin = walk.sample * t.pixels + pixel;
  walk.last = walk.begin + min(t.pixels - pixel, t.block_pixels);
  walk.first = line < t.height && walk.channel < channels ? min(walk.begin + line, walk.last) : walk.last;
  return walk;
}

// take(row, x) for every pixel of a walk, where x[i] are the Width channels there of image i. Several pixels are loaded
// before the first of them is taken: `take` may store, and the compiler cannot know that it does not store what is
// loaded next.
template <int Width, typename T, int Images, typename Take>
__device__ __forceinline__ void for_each_pixel(const Walk& walk, const View (&images)[Images], Take&& take) {
  constexpr int kBatch = Images == 1 ? 4 : 2;
  for (int64_t first = walk.first; first < walk.last; first += kBatch * walk.step) {
    Pack<T, Width> packs[kBatch][Images];
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      const int64_t r = first + b * walk.step;
#pragma unroll
      for (int i = 0; i < Images; i++)
        if (b == 0 || r < walk.last)
          packs[b][i] = *reinterpret_cast<const Pack<T, Width>*>(row<const T>(images[i], r) + walk.channel);
    }
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      const int64_t r = first + b * walk.step;
      if (b > 0 && r >= walk.last) continue;
      float x[Images][Width];
#pragma unroll
      for (int i = 0; i < Images; i++)
#pragma unroll
        for (int k = 0; k < Width; k++) x[i][k] = to_float(packs[b][i].elements[k]);
      take(r, x);
    }
  }
}

// body(Wide<…>{}) for the width of a tiling of images of T.
template <int Channels>
struct Wide {
  static constexpr int value = Channels;
};
template <typename T, typename Body>
__device__ __forceinline__ void with_width(const Tiling& t, Body&& body) {
  if (t.width == 1)
    body(Wide<1>{});
  else
    body(Wide<kWide<T>>{});
}

}  // namespace diffuse::cuda
