// The inner product of two tiles on the matrix unit: bf16 (m16n8k16), or float32 as tf32 (m16n8k8). Fragments of both
// are the same bytes of a tile, two 128-bit vectors deep.
#pragma once

#include "gemm/tiles.h"

namespace diffuse::cuda {

// A block's tile of Rows x Columns sums, shared out among warps of WarpRows x WarpColumns.
template <typename Element, int Rows, int Columns, int WarpRows, int WarpColumns>
class MatrixCore {
 public:
  using T = Element;
  static constexpr int kRows = Rows, kColumns = Columns;
  static constexpr int kWarpRows = WarpRows, kHeight = WarpRows / 16;
  static constexpr int kThreads = Rows / WarpRows * (Columns / WarpColumns) * kWarp;

  __device__ __forceinline__ MatrixCore() {
#pragma unroll
    for (int i = 0; i < kHeight; i++)
#pragma unroll
      for (int j = 0; j < kWidth; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) sums_[i][j][e] = 0;
  }

  // Adds the products of two tiles.
  __device__ __forceinline__ void multiply(const std::byte* row_tile, const std::byte* column_tile) {
    const int lane = threadIdx.x % kWarp;
    const uint32_t address = shared_address(row_tile) + first_row() * kTileRowBytes + tile_offset(lane % 16, lane / 16);
    multiply_rows([&](int i, int step) { return (address ^ (step * kVectorBytes)) + i * 16 * kTileRowBytes; },
                  column_tile);
  }

  // The same, of rows anywhere in shared memory: address_of(i, step) is where this lane reads vector step + lane / 16
  // of row lane % 16 of the i-th 16 rows of its warp.
  template <typename AddressOf>
  __device__ __forceinline__ void multiply_rows(AddressOf&& address_of, const std::byte* column_tile) {
    const uint32_t columns = shared_address(column_tile);
    const int lane = threadIdx.x % kWarp;
    const int b_row = lane % 8 + lane / 16 * 8, b_vector = lane / 8 % 2;
#pragma unroll
    for (int step = 0; step < kTileVectors; step += 2) {
      const uint32_t b_address = columns + first_column() * kTileRowBytes + tile_offset(b_row, step + b_vector);
      uint32_t a[kHeight][4], b[kWidth / 2][4];
#pragma unroll
      for (int i = 0; i < kHeight; i++) {
        load_matrices(a[i], address_of(i, step));
        if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
          for (int e = 0; e < 4; e++) a[i][e] = to_tf32(__uint_as_float(a[i][e]));
        }
      }
#pragma unroll
      for (int j = 0; j < kWidth / 2; j++) load_matrices(b[j], b_address + j * 16 * kTileRowBytes);
#pragma unroll
      for (int i = 0; i < kHeight; i++)
#pragma unroll
        for (int j = 0; j < kWidth; j++) {
          const uint32_t pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          if constexpr (sizeof(T) == sizeof(float))
            multiply_tf32(sums_[i][j], a[i], pair);
          else
            multiply_bf16(sums_[i][j], a[i], pair);
        }
    }
  }

  // Writes this warp's sums to its place in a table of Pitch floats a row, whose first row is the block's row `first`.
  template <int Pitch>
  __device__ __forceinline__ void store(float* table, int first) const {
    const int lane = threadIdx.x % kWarp;
    static_assert(Pitch % 2 == 0, "two neighbours are written at once");
    float2* to =
        reinterpret_cast<float2*>(table + (first_row() - first + lane / 4) * Pitch + first_column()) + lane % 4;
#pragma unroll
    for (int i = 0; i < kHeight; i++)
#pragma unroll
      for (int j = 0; j < kWidth; j++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          to[((i * 16 + half * 8) * Pitch + j * 8) / 2] = make_float2(sums_[i][j][2 * half], sums_[i][j][2 * half + 1]);
  }

  static __device__ __forceinline__ int first_row() { return threadIdx.x / kWarp / (Columns / WarpColumns) * WarpRows; }

 private:
  static constexpr int kWidth = WarpColumns / 8;
  static_assert(kWidth % 2 == 0, "columns are loaded 16 at a time");

  static __device__ __forceinline__ int first_column() {
    return threadIdx.x / kWarp % (Columns / WarpColumns) * WarpColumns;
  }

  float sums_[kHeight][kWidth][4];
};

}  // namespace diffuse::cuda
