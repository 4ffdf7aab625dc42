// Products of 64 x 64 numbers by the vector units, in float32: for float32 images, and for bf16 images of larger heads
// than the matrix unit's kernels take.
//
// 256 threads are 16 x 16; thread (y, x) has the rows y, y + 16, y + 32, y + 48 and as many columns. Operands come in
// slices to shared memory, whose rows have 4 floats more than they need: 16 threads that each load 128 bits of their
// own rows then meet no bank twice.
#pragma once

#include "attention/head.h"
#include "common/warp.h"

namespace diffuse::cuda {

constexpr int kPart = 4;  // rows, and columns, of a thread
constexpr int kSliceDepth = 32;
constexpr int kDepthStride = kSliceDepth + 4, kTileStride = kVectorRows + 4;
// Of p: what 16 threads write to a row lies in other banks than what those of the row beside it do.
constexpr int kProbabilityStride = kVectorRows + 16;

struct VectorShared {
  union {
    struct {
      float left[kVectorRows][kDepthStride], right[kVectorRows][kDepthStride];
    };
    float values[kSliceDepth][kTileStride];
  };
  float p[kVectorRows][kProbabilityStride];
};

struct VectorPlace {
  int y, x;
  __device__ __forceinline__ VectorPlace() : y(threadIdx.x / 16), x(threadIdx.x % 16) {}
};

// Copies [Rows, Columns] numbers of a head from a row and a column on; zeros beyond it.
template <int Rows, int Columns, int Stride, typename T>
__device__ __forceinline__ void fetch_slice(float (&to)[Rows][Stride], const HeadRows<const T>& from, int32_t first_row,
                                            int32_t first_column, const AttentionShape& shape) {
  constexpr int kPacks = Columns / 4;
  static_assert(Rows * kPacks % kVectorThreads == 0, "every thread copies as many numbers");
#pragma unroll
  for (int part = 0; part < Rows * kPacks / kVectorThreads; part++) {
    const int i = threadIdx.x + part * kVectorThreads, r = i / kPacks, c = i % kPacks * 4;
    const int32_t row = first_row + r, column = first_column + c;
    float values[4] = {};
    if (row < shape.positions) {
      if (shape.wide) {
        if (column < shape.head_channels) load(values, from.row(row) + column);
      } else {
#pragma unroll
        for (int k = 0; k < 4; k++)
          if (column + k < shape.head_channels) values[k] = to_float(from.row(row)[column + k]);
      }
    }
    store(&to[r][c], values);
  }
}

// c[i][j] += Σ_d left[i][d] right[j][d] over the whole head, for 64 rows of each.
template <typename T>
__device__ __forceinline__ void multiply_rows(float (&c)[kPart][kPart], VectorShared& shared,
                                              const HeadRows<const T>& left, int32_t left_row,
                                              const HeadRows<const T>& right, int32_t right_row,
                                              const AttentionShape& shape) {
  const VectorPlace own;
  for (int32_t d = 0; d < shape.head_channels; d += kSliceDepth) {
    __syncthreads();
    fetch_slice<kVectorRows, kSliceDepth>(shared.left, left, left_row, d, shape);
    fetch_slice<kVectorRows, kSliceDepth>(shared.right, right, right_row, d, shape);
    __syncthreads();
#pragma unroll 1
    for (int k = 0; k < kSliceDepth; k += 4) {
      float a[kPart][4], b[kPart][4];
#pragma unroll
      for (int i = 0; i < kPart; i++) {
        load(a[i], &shared.left[own.y + 16 * i][k]);
        load(b[i], &shared.right[own.x + 16 * i][k]);
      }
#pragma unroll
      for (int e = 0; e < 4; e++)
#pragma unroll
        for (int i = 0; i < kPart; i++)
#pragma unroll
          for (int j = 0; j < kPart; j++) c[i][j] = fmaf(a[i][e], b[j][e], c[i][j]);
    }
  }
}

// Puts p where multiply_columns finds it. A barrier lies behind the last product that read the p before it.
__device__ __forceinline__ void put(VectorShared& shared, const float (&p)[kPart][kPart]) {
  const VectorPlace own;
#pragma unroll
  for (int i = 0; i < kPart; i++)
#pragma unroll
    for (int j = 0; j < kPart; j++) shared.p[own.y + 16 * i][own.x + 16 * j] = p[i][j];
}

// Outputs [64, 64 Slices]: of each slice of 64 columns a thread has four neighbours, 4 x, of its rows.
template <int Slices>
using VectorOutputs = float[Slices][kPart][4];

// c[i][column] += Σ_j p[i][j] right[row + j][first_column + column], for a block whose first slice exists.
template <int Slices, typename T>
__device__ __forceinline__ void multiply_columns(VectorOutputs<Slices>& c, VectorShared& shared,
                                                 const HeadRows<const T>& right, int32_t row, int32_t first_column,
                                                 const AttentionShape& shape) {
  const VectorPlace own;
#pragma unroll
  for (int s = 0; s < Slices; s++) {
    const int32_t column = first_column + kVectorRows * s;
    if (s > 0 && column >= shape.head_channels) continue;
#pragma unroll 1
    for (int j = 0; j < kVectorRows; j += kSliceDepth) {
      __syncthreads();
      fetch_slice<kSliceDepth, kVectorRows>(shared.values, right, row + j, column, shape);
      __syncthreads();
#pragma unroll 1
      for (int k = 0; k < kSliceDepth; k += 4) {
        float a[kPart][4], b[4][4];
#pragma unroll
        for (int i = 0; i < kPart; i++) {
          load(a[i], &shared.p[own.y + 16 * i][j + k]);
          load(b[i], &shared.values[k + i][4 * own.x]);
        }
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
          for (int i = 0; i < kPart; i++)
#pragma unroll
            for (int n = 0; n < 4; n++) c[s][i][n] = fmaf(a[i][e], b[e][n], c[s][i][n]);
      }
    }
  }
}

template <int Slices, typename T>
__device__ __forceinline__ void write_outputs(const VectorOutputs<Slices>& c, const HeadRows<T>& to, int32_t first_row,
                                              int32_t first_column, const AttentionShape& shape) {
  const VectorPlace own;
#pragma unroll
  for (int s = 0; s < Slices; s++) {
#pragma unroll
    for (int i = 0; i < kPart; i++) {
      const int32_t row = first_row + own.y + 16 * i, column = first_column + kVectorRows * s + 4 * own.x;
      if (row >= shape.positions) continue;
      T* at = to.row(row) + column;
      if (shape.wide) {
        if (column < shape.head_channels) store(at, c[s][i]);
      } else {
#pragma unroll
        for (int n = 0; n < 4; n++)
          if (column + n < shape.head_channels) at[n] = from_float<T>(c[s][i][n]);
      }
    }
  }
}

}  // namespace diffuse::cuda
