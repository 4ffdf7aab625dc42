// Tiles in shared memory and their products by the matrix unit, of bf16, or of float32 as tf32. A tile's rows are 16
// bytes longer than D elements (cuda/arguments/attention.h says why); D is the head dimension that the kernel was made
// for, `depth` what is computed with: that of the call, rounded up to what an instruction multiplies, 32 bytes of a
// row.
#pragma once

#include "attention/head.h"
#include "common/instructions.h"
#include "common/warp.h"

namespace diffuse::cuda {

template <typename T>
constexpr int kProductDepth = 32 / sizeof(T);
template <typename T, int D>
constexpr int kMatrixStride = matrix_stride(D, sizeof(T));

template <typename T>
__device__ __forceinline__ int padded_depth(const AttentionShape& shape) {
  return (static_cast<unsigned>(shape.head_channels) + kProductDepth<T> - 1) / kProductDepth<T> * kProductDepth<T>;
}

// Copies Rows rows of a head from `first` on, by all Threads of the block; what lies beyond S or D, up to the depth,
// becomes zero. Asynchronous where the rows are aligned to 128 bits; the caller ends the group of copies.
template <int Threads, int Rows, int D, typename T>
__device__ __forceinline__ void fetch_tile(T* tile, const HeadRows<const T>& from, int32_t first,
                                           const AttentionShape& shape) {
  constexpr int kPacks = D / kWide<T>;
  static_assert(Rows * kPacks % Threads == 0, "every thread copies as much");
  const int32_t depth = padded_depth<T>(shape);
  if (shape.wide) {
    const uint32_t address = shared_address(tile);
#pragma unroll
    for (int part = 0; part < Rows * kPacks / Threads; part++) {
      const int i = threadIdx.x + part * Threads, r = i / kPacks, c = i % kPacks * kWide<T>;
      if (c >= depth) continue;
      const bool exists = first + r < shape.positions && c < shape.head_channels;
      copy_async(address + sizeof(T) * (r * kMatrixStride<T, D> + c),
                 from.row(exists ? first + r : 0) + (exists ? c : 0), exists);
    }
    return;
  }
#pragma unroll 4
  for (int part = 0; part < Rows * D / Threads; part++) {
    const int i = threadIdx.x + part * Threads, r = i / D, c = i % D;
    if (c >= depth) continue;
    const bool exists = first + r < shape.positions && c < shape.head_channels;
    tile[r * kMatrixStride<T, D> + c] = exists ? from.row(first + r)[c] : from_float<T>(0);
  }
}

// An accumulator of 16 x 8: lanes hold two neighbouring columns, 2 (lane % 4), of the rows lane / 4 and that + 8.
using Accumulator = float[4];

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// One instruction: c += a b.
template <typename T>
__device__ __forceinline__ void multiply(Accumulator& c, const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (sizeof(T) == sizeof(float))
    multiply_tf32(c, a, b);
  else
    multiply_bf16(c, a, b);
}

// Operands as they were loaded to what the matrix unit takes: float32 is rounded to tf32.
template <typename T, int N>
__device__ __forceinline__ void round_operands(uint32_t (&r)[N]) {
  if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
    for (int i = 0; i < N; i++) r[i] = to_tf32(__uint_as_float(r[i]));
  }
}

// c[16 Tiles x 8 Columns] += left rightᵀ: rows of two tiles.
template <int D, typename T, int Tiles, int Columns>
__device__ __forceinline__ void multiply_rows(Accumulator (&c)[Tiles][Columns], const T* left, const T* right,
                                              int depth) {
  static_assert(Columns % 2 == 0, "two accumulators' columns are loaded at once");
  __builtin_assume(depth > 0);
  constexpr int kStride = kMatrixStride<T, D>;
  const int lane = threadIdx.x % kWarp;
  const uint32_t a_address = shared_address(left + lane % 16 * kStride + lane / 16 * kWide<T>);
  const uint32_t b_address = shared_address(right + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * kWide<T>);
#pragma unroll 2
  for (int k = 0; k < depth; k += kProductDepth<T>) {
    uint32_t a[Tiles][4];
#pragma unroll
    for (int i = 0; i < Tiles; i++) {
      load_matrices(a[i], a_address + sizeof(T) * (i * 16 * kStride + k));
      round_operands<T>(a[i]);
    }
#pragma unroll
    for (int j = 0; j < Columns; j += 2) {
      uint32_t b[4];
      load_matrices(b, b_address + sizeof(T) * (j * 8 * kStride + k));
      round_operands<T>(b);
      const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < Tiles; i++) {
        multiply<T>(c[i][j], a[i], first);
        multiply<T>(c[i][j + 1], a[i], second);
      }
    }
  }
}

// c[16 Tiles x 8 Columns] += p right, where p[16 Tiles x 8 Rows] comes from accumulators, rounded as operands are, and
// right is a tile of 8 Rows rows, from a column on; columns from `columns` on, of which there is one, are left out.
template <int D, int Tiles, int Rows, int Columns>
__device__ __forceinline__ void multiply_columns(Accumulator (&c)[Tiles][Columns], const Accumulator (&p)[Tiles][Rows],
                                                 const bf16* right, int columns) {
  static_assert(Rows % 2 == 0 && Columns % 2 == 0, "matrices are loaded by fours");
  constexpr int kStride = kMatrixStride<bf16, D>;
  const int lane = threadIdx.x % kWarp;
  const uint32_t address = shared_address(right + lane % 16 * kStride + lane / 16 * 8);
#pragma unroll
  for (int k = 0; k < Rows; k += 2) {
    uint32_t a[Tiles][4];
#pragma unroll
    for (int i = 0; i < Tiles; i++) {
#pragma unroll
      for (int e = 0; e < 4; e++) a[i][e] = pack_bf16(p[i][k + e / 2][e % 2 * 2], p[i][k + e / 2][e % 2 * 2 + 1]);
    }
#pragma unroll
    for (int j = 0; j < Columns; j += 2) {
      if (j > 0 && j * 8 >= columns) continue;
      uint32_t b[4];
      load_matrices_transposed(b, address + sizeof(bf16) * (k * 8 * kStride + j * 8));
      const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < Tiles; i++) {
        multiply<bf16>(c[i][j], a[i], first);
        multiply<bf16>(c[i][j + 1], a[i], second);
      }
    }
  }
}

// The same in tf32. The instruction wants of each lane the columns lane % 4 and that + 4 of p, and the rows of `right`
// that belong to them. The lane has the columns 2 (lane % 4) and its neighbour instead: a sum has no order, so these
// are multiplied in the places of those. Rows of `right` are then 32 bytes apart in the banks, which four lanes read
// without conflict.
template <int D, int Tiles, int Rows, int Columns>
__device__ __forceinline__ void multiply_columns(Accumulator (&c)[Tiles][Columns], const Accumulator (&p)[Tiles][Rows],
                                                 const float* right, int columns) {
  constexpr int kStride = kMatrixStride<float, D>;
  const int lane = threadIdx.x % kWarp;
  const float* own = right + lane % 4 * 2 * kStride + lane / 4;
#pragma unroll
  for (int k = 0; k < Rows; k++) {
    uint32_t a[Tiles][4];
#pragma unroll
    for (int i = 0; i < Tiles; i++) {
#pragma unroll
      for (int e = 0; e < 4; e++) a[i][e] = to_tf32(p[i][k][e % 2 * 2 + e / 2]);
    }
#pragma unroll
    for (int j = 0; j < Columns; j++) {
      if (j > 0 && j * 8 >= columns) continue;
      const float* at = own + k * 8 * kStride + j * 8;
      const uint32_t b[2] = {to_tf32(at[0]), to_tf32(at[kStride])};
#pragma unroll
      for (int i = 0; i < Tiles; i++) multiply<float>(c[i][j], a[i], b);
    }
  }
}

// Rounds the warp's 16 Tiles x 8 Columns numbers and writes them to the rows of a head from `first` on, columns from
// `first_column` on, by way of rows of shared memory that no other warp uses: 128 bits a lane.
template <int D, typename T, int Tiles, int Columns>
__device__ __forceinline__ void write_rows(const Accumulator (&c)[Tiles][Columns], T* shared, const HeadRows<T>& to,
                                           int32_t first, int32_t first_column, const AttentionShape& shape) {
  constexpr int kRows = 16 * Tiles, kColumns = 8 * Columns, kStride = kMatrixStride<T, D>;
  const int lane = threadIdx.x % kWarp;
  const int32_t rows = min(kRows, shape.positions - first), columns = min(kColumns, shape.head_channels - first_column);
  if (rows <= 0) return;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < Tiles; i++) {
#pragma unroll
    for (int j = 0; j < Columns; j++) {
      T* at = shared + (16 * i + lane / 4) * kStride + j * 8 + lane % 4 * 2;
      store(at, {c[i][j][0], c[i][j][1]});
      store(at + 8 * kStride, {c[i][j][2], c[i][j][3]});
    }
  }
  __syncwarp();
  if (shape.wide) {
    constexpr int kPacks = kColumns / kWide<T>;
#pragma unroll
    for (int part = 0; part < kRows * kPacks / kWarp; part++) {
      const int i = lane + part * kWarp, r = i / kPacks, column = i % kPacks * kWide<T>;
      if (r < rows && column < columns)
        *reinterpret_cast<uint4*>(to.row(first + r) + first_column + column) =
            *reinterpret_cast<const uint4*>(shared + r * kStride + column);
    }
    return;
  }
#pragma unroll 4
  for (int part = 0; part < kRows * kColumns / kWarp; part++) {
    const int i = lane + part * kWarp, r = i / kColumns, column = i % kColumns;
    if (r < rows && column < columns) to.row(first + r)[first_column + column] = shared[r * kStride + column];
  }
}

}  // namespace diffuse::cuda
