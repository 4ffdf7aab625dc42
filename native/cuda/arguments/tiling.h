// How a launch divides images [N, ..., C], N samples of P pixels of C channels, where numbers belong to channels:
// threads stand on neighbouring packs of channels and walk from pixel to pixel (cuda/tiling.h chooses,
// cuda/common/tiling.h walks).
#pragma once

#include <cstdint>

namespace diffuse::cuda {

constexpr int kTilingThreads = 256;  // the most of a block
constexpr int kPartColumns = 32;     // that a block sums of what other blocks summed

struct Tiling {
  int64_t pixels;         // of a sample
  int64_t block_pixels;   // of a sample, that a block works on
  int64_t blocks;         // that together have all pixels of a sample
  int32_t column_blocks;  // that together have all channels
  int32_t width;          // neighbouring channels that a thread takes at once: as many as 128 bits hold, or 1
  int32_t columns;        // threads side by side along a row
  int32_t height;         // pixels that the threads of a block stand on
};

}  // namespace diffuse::cuda
