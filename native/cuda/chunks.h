// Dividing long sums into chunks (cuda/arguments/chunks.h).
#pragma once

#include <algorithm>

#include "cuda/arguments/chunks.h"
#include "cuda/kernel.h"

namespace diffuse::cuda {

// Chunks of at least `least` elements; at most 1024 of them, which fill every GPU and are soon summed by one block.
static inline Chunks divide(int64_t elements, int64_t least) {
  constexpr int64_t kMostChunks = 1024, kUnit = 4;
  const int64_t size = std::max(least, blocks_of(blocks_of(elements, kMostChunks), kUnit) * kUnit);
  return {size, static_cast<int32_t>(blocks_of(elements, size))};
}

}  // namespace diffuse::cuda
