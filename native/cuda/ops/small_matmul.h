// Products of float32 whose tiles of 64 x 64 would leave most multiprocessors idle.
#pragma once

#include "cuda/arguments/matmul.h"
#include "cuda/kernel.h"

namespace diffuse::cuda {

// By the shape alone, so that every GPU computes the same bits. Long sums are for kernels that share them out.
static inline bool is_small_product(int64_t rows, int64_t columns, int64_t inner) {
  constexpr int64_t kFewTiles = 64, kFewLines = 2048;
  return blocks_of(rows, kMatmulTile) * blocks_of(columns, kMatmulTile) <= kFewTiles && inner <= kFewLines;
}

static inline void launch_small_product(const SmallMatmulArguments& arguments, Launcher& launcher) {
  const View& c = arguments.product.c;
  launcher.launch("matmul", "matmul_small_f32", {blocks_of(c.rows, kSmallRows), blocks_of(c.channels, kSmallColumns)},
                  kMatmulThreads, arguments);
}

}  // namespace diffuse::cuda
