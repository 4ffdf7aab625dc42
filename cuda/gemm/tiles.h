// Tiles of operands in shared memory. Both operands of a product lie there with its depth along the rows, 64 bytes of
// it (32 bf16, 16 float32), so that one layout, one way of loading and one pattern of ldmatrix serve all formats.
#pragma once

#include <cstddef>

#include "common/image.h"
#include "common/instructions.h"
#include "common/warp.h"
#include "cuda/arguments/conv2d.h"

namespace diffuse::cuda {

constexpr int kVectorBytes = 16;
constexpr int kTileVectors = kTileRowBytes / kVectorBytes;  // of a row

// Elements of a tile's row.
template <typename T>
constexpr int kTileDepth = kTileRowBytes / sizeof(T);

// Where a vector of a row lies. Two rows fill all banks once; the vectors of the next two trade places, so that the
// same vector of eight successive rows, which ldmatrix and quarters of a warp read, lies in eight different places.
// Rows before the first have places too, which those 16 rows on are counted from.
__device__ __forceinline__ uint32_t tile_offset(uint32_t row, uint32_t vector) {
  return row * kTileRowBytes + (vector ^ (row / 2 % kTileVectors)) * kVectorBytes;
}

}  // namespace diffuse::cuda
