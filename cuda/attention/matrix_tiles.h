// Tiles of bf16 in shared memory and their products by the matrix unit. A tile's rows are D + 8 elements long
// (cuda/arguments/attention.h says why); D is the head dimension that the kernel was made for, `depth` what is computed
// with: that of the call, rounded up to 16.
#pragma once

#include "attention/head.h"
#include "common/instructions.h"
#include "common/warp.h"

namespace diffuse::cuda {

__device__ __forceinline__ int padded_depth(const AttentionShape& shape) {
  return (shape.head_channels + 15) / 16 * 16;
}

// Copies Rows rows of a head from `first` on; what lies beyond S or D, up to the depth, becomes zero. Asynchronous
// where the rows are aligned to 128 bits; the caller ends the group of copies.
template <int Rows, int D>
__device__ __forceinline__ void fetch_tile(bf16* tile, const HeadRows<const bf16>& from, int32_t first,
                                           const AttentionShape& shape) {
  constexpr int kPacks = D / 8;
  const int32_t depth = padded_depth(shape);
  if (shape.wide) {
    const uint32_t address = shared_address(tile);
#pragma unroll
    for (int i = threadIdx.x; i < Rows * kPacks; i += kMatrixThreads) {
      const int r = i / kPacks, c = i % kPacks * 8;
      if (c >= depth) continue;
      const bool exists = first + r < shape.positions && c < shape.head_channels;
      copy_async(address + 2 * (r * matrix_stride(D) + c), from.row(exists ? first + r : 0) + (exists ? c : 0), exists);
    }
    return;
  }
  for (int i = threadIdx.x; i < Rows * D; i += kMatrixThreads) {
    const int r = i / D, c = i % D;
    if (c >= depth) continue;
    const bool exists = first + r < shape.positions && c < shape.head_channels;
    tile[r * matrix_stride(D) + c] = exists ? from.row(first + r)[c] : from_float<bf16>(0);
  }
}

// An accumulator of 16 x 8: lanes hold two neighbouring columns, 2 (lane % 4), of the rows lane / 4 and that + 8.
using Accumulator = float[4];

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// c[16 Tiles x 8 Columns] += left rightᵀ: rows of two tiles.
template <int D, int Tiles, int Columns>
__device__ __forceinline__ void multiply_rows(Accumulator (&c)[Tiles][Columns], const bf16* left, const bf16* right,
                                              int depth) {
  static_assert(Columns % 2 == 0, "two accumulators' columns are loaded at once");
  const int lane = threadIdx.x % kWarp;
  const uint32_t a_address = shared_address(left) + 2 * (lane % 16 * matrix_stride(D) + lane / 16 * 8);
  const uint32_t b_address =
      shared_address(right) + 2 * ((lane % 8 + lane / 16 * 8) * matrix_stride(D) + lane / 8 % 2 * 8);
#pragma unroll 2
  for (int k = 0; k < depth; k += 16) {
    uint32_t a[Tiles][4];
#pragma unroll
    for (int i = 0; i < Tiles; i++) load_matrices(a[i], a_address + 2 * (i * 16 * matrix_stride(D) + k));
#pragma unroll
    for (int j = 0; j < Columns; j += 2) {
      uint32_t b[4];
      load_matrices(b, b_address + 2 * (j * 8 * matrix_stride(D) + k));
      const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < Tiles; i++) {
        multiply_bf16(c[i][j], a[i], first);
        multiply_bf16(c[i][j + 1], a[i], second);
      }
    }
  }
}

// The accumulators of 16 x 16 numbers, rounded to bf16, as the left operand of the next product.
__device__ __forceinline__ void to_left(uint32_t (&a)[4], const Accumulator& low, const Accumulator& high) {
  a[0] = pack_bf16(low[0], low[1]);
  a[1] = pack_bf16(low[2], low[3]);
  a[2] = pack_bf16(high[0], high[1]);
  a[3] = pack_bf16(high[2], high[3]);
}

// c[16 Tiles x 8 Columns] += p right, where p[16 Tiles x 8 Rows] comes from accumulators and right is a tile of 8 Rows
// rows, from a column on; columns from `columns` on are left out.
template <int D, int Tiles, int Rows, int Columns>
__device__ __forceinline__ void multiply_columns(Accumulator (&c)[Tiles][Columns], const Accumulator (&p)[Tiles][Rows],
                                                 const bf16* right, int columns) {
  static_assert(Rows % 2 == 0 && Columns % 2 == 0, "matrices are loaded by fours");
  const int lane = threadIdx.x % kWarp;
  const uint32_t address = shared_address(right) + 2 * (lane % 16 * matrix_stride(D) + lane / 16 * 8);
#pragma unroll
  for (int k = 0; k < Rows; k += 2) {
    uint32_t a[Tiles][4];
#pragma unroll
    for (int i = 0; i < Tiles; i++) to_left(a[i], p[i][k], p[i][k + 1]);
#pragma unroll
    for (int j = 0; j < Columns; j += 2) {
      if (j * 8 >= columns) continue;
      uint32_t b[4];
      load_matrices_transposed(b, address + 2 * (k * 8 * matrix_stride(D) + j * 8));
      const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < Tiles; i++) {
        multiply_bf16(c[i][j], a[i], first);
        multiply_bf16(c[i][j + 1], a[i], second);
      }
    }
  }
}

// Rounds the warp's 16 Tiles x 8 Columns numbers and writes them to the rows of a head from `first` on, columns from
// `first_column` on, by way of rows of shared memory that no other warp uses: 128 bits a lane.
template <int D, int Tiles, int Columns>
__device__ __forceinline__ void write_rows(const Accumulator (&c)[Tiles][Columns], bf16* shared,
                                           const HeadRows<bf16>& to, int32_t first, int32_t first_column,
                                           const AttentionShape& shape) {
  constexpr int kRows = 16 * Tiles, kColumns = 8 * Columns;
  const int lane = threadIdx.x % kWarp;
  const int32_t rows = min(kRows, shape.positions - first), columns = min(kColumns, shape.head_channels - first_column);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < Tiles; i++) {
#pragma unroll
    for (int j = 0; j < Columns; j++) {
      bf16* at = shared + (16 * i + lane / 4) * matrix_stride(D) + j * 8 + lane % 4 * 2;
      *reinterpret_cast<uint32_t*>(at) = pack_bf16(c[i][j][0], c[i][j][1]);
      *reinterpret_cast<uint32_t*>(at + 8 * matrix_stride(D)) = pack_bf16(c[i][j][2], c[i][j][3]);
    }
  }
  __syncwarp();
  if (shape.wide) {
    constexpr int kPacks = kColumns / 8;
#pragma unroll
    for (int i = lane; i < kRows * kPacks; i += kWarp) {
      const int r = i / kPacks, column = i % kPacks * 8;
      if (r < rows && column < columns)
        *reinterpret_cast<uint4*>(to.row(first + r) + first_column + column) =
            *reinterpret_cast<const uint4*>(shared + r * matrix_stride(D) + column);
    }
    return;
  }
  for (int i = lane; i < kRows * kColumns; i += kWarp) {
    const int r = i / kColumns, column = i % kColumns;
    if (r < rows && column < columns) to.row(first + r)[first_column + column] = shared[r * matrix_stride(D) + column];
  }
}

}  // namespace diffuse::cuda
