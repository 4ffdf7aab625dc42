// Operands in shared memory of products that reduce over rows: c[i, j] = Σ_line a[line, i] b[line, j]. Both lie as
// their images do, a line (a pixel) after the other, `Width` channels each, in chunks of 128 bits.
#pragma once

#include "common/image.h"

namespace diffuse::cuda {

// Where a chunk of a line lies: chunks of neighbouring lines change places, so that neither the eight lines of a chunk
// (ldmatrix, bf16) nor two chunks of four lines (fragments of tf32) nor four channels of eight lines (a transposing
// store of float32) meet in a bank.
template <typename T>
__device__ __forceinline__ int swizzled_chunk(int line, int chunk) {
  return sizeof(T) == 2 ? chunk ^ (line & 7) : chunk ^ ((line & 3) * 2 + (line >> 2 & 1));
}

// Where a channel of a line lies, in elements.
template <int Width, typename T>
__device__ __forceinline__ int tile_offset(int line, int channel) {
  return line * Width + swizzled_chunk<T>(line, channel / kWide<T>) * kWide<T> + channel % kWide<T>;
}

}  // namespace diffuse::cuda
