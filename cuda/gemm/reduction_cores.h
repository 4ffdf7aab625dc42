// Sums of products over the lines of two tiles (gemm/reduction_tile.h), in the registers of a block of 256 threads. A
// core adds kLines lines at once: sums[i, j] += Σ_line a[line, i] b[line, j], i < Rows, j < Columns.
//
//   Bf16Core     the matrix unit on bf16
//   Tf32Core     the matrix unit on float32, rounded to tf32 on the way
//   Float32Core  multiply-adds in float32
#pragma once

#include "common/instructions.h"
#include "common/warp.h"
#include "gemm/reduction_tile.h"

namespace diffuse::cuda {

constexpr int kCoreThreads = 256;

// Sums of the matrix unit. Warps stand side by side on 32 columns each, and share the rows: with 128 columns 64 rows a
// warp, which loads six fragments from shared memory for 16 products.
template <int Rows, int Columns>
struct MatrixSums {
  static constexpr int kRows = Rows, kColumns = Columns;
  static constexpr int kAcross = Columns / 32, kDown = kCoreThreads / kWarp / kAcross;
  static constexpr int kHigh = Rows / kDown / 16, kWide8 = 4;
  float sums[kHigh][kWide8][4] = {};

  __device__ __forceinline__ static int lane() { return threadIdx.x % kWarp; }
  __device__ __forceinline__ static int first_row() { return threadIdx.x / kWarp / kAcross * (Rows / kDown); }
  __device__ __forceinline__ static int first_column() { return threadIdx.x / kWarp % kAcross * 32; }

  // take(row, column, sum, sum of the next column) for all sums of this thread.
  template <typename Take>
  __device__ __forceinline__ void each_pair(Take&& take) const {
#pragma unroll
    for (int i = 0; i < kHigh; i++)
#pragma unroll
      for (int j = 0; j < kWide8; j++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          take(first_row() + i * 16 + half * 8 + lane() / 4, first_column() + j * 8 + lane() % 4 * 2,
               sums[i][j][2 * half], sums[i][j][2 * half + 1]);
  }
};

template <int Rows, int Columns>
struct Bf16Core : MatrixSums<Rows, Columns> {
  using Element = bf16;
  using Sums = MatrixSums<Rows, Columns>;
  static constexpr int kLines = 32;

  // Fragments want neighbours along the lines, which ldmatrix gets by transposing.
  __device__ __forceinline__ void add(const bf16* a, const bf16* b) {
    const int line = Sums::lane() % 8, matrix = Sums::lane() / 8;
#pragma unroll
    for (int first = 0; first < kLines; first += 16) {
      uint32_t of_a[Sums::kHigh][4], of_b[Sums::kWide8 / 2][4];
#pragma unroll
      for (int i = 0; i < Sums::kHigh; i++)
        load_matrices_transposed(
            of_a[i], shared_address(a + tile_offset<Rows, bf16>(first + matrix / 2 * 8 + line,
                                                                Sums::first_row() + i * 16 + matrix % 2 * 8)));
#pragma unroll
      for (int j = 0; j < Sums::kWide8 / 2; j++)
        load_matrices_transposed(
            of_b[j], shared_address(b + tile_offset<Columns, bf16>(first + matrix % 2 * 8 + line,
                                                                   Sums::first_column() + j * 16 + matrix / 2 * 8)));
#pragma unroll
      for (int i = 0; i < Sums::kHigh; i++)
#pragma unroll
        for (int j = 0; j < Sums::kWide8; j++) {
          const uint32_t pair[2] = {of_b[j / 2][j % 2 * 2], of_b[j / 2][j % 2 * 2 + 1]};
          multiply_bf16(this->sums[i][j], of_a[i], pair);
        }
    }
  }
};

template <int Rows, int Columns>
struct Tf32Core : MatrixSums<Rows, Columns> {
  using Element = float;
  using Sums = MatrixSums<Rows, Columns>;
  static constexpr int kLines = 16;

  __device__ __forceinline__ void add(const float* a, const float* b) {
    const int line = Sums::lane() % 4, channel = Sums::lane() / 4;
#pragma unroll
    for (int first = 0; first < kLines; first += 8) {
      uint32_t of_b[Sums::kWide8][2];
#pragma unroll
      for (int j = 0; j < Sums::kWide8; j++)
#pragma unroll
        for (int part = 0; part < 2; part++)
          of_b[j][part] =
              to_tf32(b[tile_offset<Columns, float>(first + part * 4 + line, Sums::first_column() + j * 8 + channel)]);
#pragma unroll
      for (int i = 0; i < Sums::kHigh; i++) {
        uint32_t of_a[4];
#pragma unroll
        for (int part = 0; part < 4; part++)
          of_a[part] = to_tf32(a[tile_offset<Rows, float>(first + part / 2 * 4 + line,
                                                          Sums::first_row() + i * 16 + part % 2 * 8 + channel)]);
#pragma unroll
        for (int j = 0; j < Sums::kWide8; j++) multiply_tf32(this->sums[i][j], of_a, of_b[j]);
      }
    }
  }
};

// 16 x 16 threads, each with quads of rows and columns that lie 64 apart: so a warp reads whole lines of banks, and 64
// multiply-adds need four loads of 128 bits (tile of 128 x 128).
template <int Rows, int Columns>
struct Float32Core {
  using Element = float;
  static constexpr int kRows = Rows, kColumns = Columns, kLines = 16;
  static constexpr int kHigh = Rows / 16, kAcross = Columns / 16;
  float sums[kHigh][kAcross] = {};

  __device__ __forceinline__ static int row(int i) { return i / 4 * 64 + threadIdx.x / 16 * 4 + i % 4; }
  __device__ __forceinline__ static int column(int j) { return j / 4 * 64 + threadIdx.x % 16 * 4 + j % 4; }

  __device__ __forceinline__ void add(const float* a, const float* b) {
#pragma unroll 8
    for (int line = 0; line < kLines; line++) {
      float of_a[kHigh / 4][4], of_b[kAcross / 4][4];
#pragma unroll
      for (int i = 0; i < kHigh / 4; i++) load(of_a[i], a + tile_offset<Rows, float>(line, row(4 * i)));
#pragma unroll
      for (int j = 0; j < kAcross / 4; j++) load(of_b[j], b + tile_offset<Columns, float>(line, column(4 * j)));
#pragma unroll
      for (int i = 0; i < kHigh; i++)
#pragma unroll
        for (int j = 0; j < kAcross; j++) sums[i][j] += of_a[i / 4][i % 4] * of_b[j / 4][j % 4];
    }
  }

  // take(row, column, sum, sum of the next column) for all sums of this thread.
  template <typename Take>
  __device__ __forceinline__ void each_pair(Take&& take) const {
#pragma unroll
    for (int i = 0; i < kHigh; i++)
#pragma unroll
      for (int j = 0; j < kAcross; j += 2) take(row(i), column(j), sums[i][j], sums[i][j + 1]);
  }
};

}  // namespace diffuse::cuda
