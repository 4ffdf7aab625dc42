// How long sums are divided: a block sums a chunk, then one block sums what the blocks found. Included by both sides.
#pragma once

#include <cstdint>

namespace diffuse::cuda {

// Threads of the block that sums the partial sums.
constexpr int kFinishThreads = 512;

// Elements a chunk, a multiple of 4, and how many chunks cover all. They follow from the shapes alone.
struct Chunks {
  int64_t size;
  int32_t count;
};

}  // namespace diffuse::cuda
