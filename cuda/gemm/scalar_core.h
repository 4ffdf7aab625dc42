// The inner product of two tiles of float32 by multiply-adds of the general cores: exact float32.
#pragma once

#include "gemm/tiles.h"

namespace diffuse::cuda {

// A block's tile of Rows x Columns sums, shared out among warps of WarpRows x WarpColumns. A warp is 4 x 8 lanes, whose
// rows and columns interleave: the eight lanes of a quarter read one vector of eight successive columns, which lie in
// different banks, and one vector of a row, which is broadcast. 8 x 8 sums a lane take 64 multiply-adds from four
// vectors a step of depth, as many as shared memory delivers meanwhile.
template <int Rows, int Columns, int WarpRows, int WarpColumns>
class ScalarCore {
 public:
  using T = float;
  static constexpr int kRows = Rows, kColumns = Columns;
  static constexpr int kWarpRows = WarpRows;
  static constexpr int kThreads = Rows / WarpRows * (Columns / WarpColumns) * kWarp;

  __device__ __forceinline__ ScalarCore() {
#pragma unroll
    for (int i = 0; i < kHeight; i++)
#pragma unroll
      for (int j = 0; j < kWidth; j++) sums_[i][j] = 0;
  }

  // Adds the products of two tiles, in the order of their depth.
  __device__ __forceinline__ void multiply(const std::byte* rows, const std::byte* columns) {
    const int y = first_row() + threadIdx.x % kWarp / kLanesAcross, x = first_column() + threadIdx.x % kLanesAcross;
    // Not unrolled: the compiler would load all four vectors of all columns before it multiplies, and spill.
#pragma unroll 1
    for (int step = 0; step < kTileVectors; step++) {
      float b[kWidth][4];
#pragma unroll
      for (int j = 0; j < kWidth; j++) read(b[j], columns, x + j * kLanesAcross, step);
#pragma unroll
      for (int i = 0; i < kHeight; i++) {
        float a[4];
        read(a, rows, y + i * kLanesDown, step);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
          for (int j = 0; j < kWidth; j++) sums_[i][j] = fmaf(a[e], b[j][e], sums_[i][j]);
      }
    }
  }

  // Writes this warp's sums to its place in a table of Pitch floats a row, whose first row is the block's row `first`.
  template <int Pitch>
  __device__ __forceinline__ void store(float* table, int first) const {
    const int y = first_row() + threadIdx.x % kWarp / kLanesAcross, x = first_column() + threadIdx.x % kLanesAcross;
    float* to = table + (y - first) * Pitch + x;
#pragma unroll
    for (int i = 0; i < kHeight; i++)
#pragma unroll
      for (int j = 0; j < kWidth; j++) to[i * kLanesDown * Pitch + j * kLanesAcross] = sums_[i][j];
  }

  static __device__ __forceinline__ int first_row() { return threadIdx.x / kWarp / (Columns / WarpColumns) * WarpRows; }

 private:
  static constexpr int kLanesDown = 4, kLanesAcross = 8;
  static constexpr int kHeight = WarpRows / kLanesDown, kWidth = WarpColumns / kLanesAcross;

  static __device__ __forceinline__ int first_column() {
    return threadIdx.x / kWarp % (Columns / WarpColumns) * WarpColumns;
  }
  static __device__ __forceinline__ void read(float (&values)[4], const std::byte* tile, int row, int vector) {
    load(values, reinterpret_cast<const float*>(tile + tile_offset(row, vector)));
  }

  float sums_[kHeight][kWidth];
};

}  // namespace diffuse::cuda
