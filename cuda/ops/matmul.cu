// Matrix product of float32 (ops/matmul.h), exact: multiply-adds of the general cores, and a kernel for what is small.
//
// @promises ld.shared.v4 fma.rn.f32
#include "cuda/arguments/matmul.h"
#include "gemm/reduction_cores.h"

namespace diffuse::cuda {
namespace {

static_assert(kCoreThreads == kMatmulThreads);
using Core = Float32Core<kMatmulTile, kMatmulTile>;
constexpr int kElements = Core::kLines * kMatmulTile / kMatmulThreads;  // of each operand's tile, a thread
static_assert(kElements == 4);

// Those elements of an operand whose tile is [lines][kMatmulTile], lines being the inner dimension. It may lie in
// memory so or transposed; neighbouring lanes take neighbours in memory, and in shared memory no two the same bank.
struct Operand {
  const View& view;
  bool transposed;  // a row of the view holds the lines of one row or column of c
  int64_t first;    // row or column of c of the tile

  __device__ __forceinline__ int line(int i) const {
    return transposed ? threadIdx.x % 8 + i % 2 * 8 : threadIdx.x / kMatmulTile + i * (kMatmulThreads / kMatmulTile);
  }
  __device__ __forceinline__ int place(int i) const {
    return transposed ? threadIdx.x / 8 + i / 2 * (kMatmulThreads / 8) : threadIdx.x % kMatmulTile;
  }

  // Zeros where the matrix ends.
  __device__ __forceinline__ void fetch(float (&values)[kElements], int64_t first_line) const {
#pragma unroll
    for (int i = 0; i < kElements; i++) {
      const int64_t at = first_line + line(i), other = first + place(i);
      const int64_t of_row = transposed ? other : at, column = transposed ? at : other;
      values[i] = of_row < view.rows && column < view.channels ? row<float>(view, of_row)[column] : 0;
    }
  }
  __device__ __forceinline__ void put(float* tile, const float (&values)[kElements]) const {
#pragma unroll
    for (int i = 0; i < kElements; i++) tile[tile_offset<kMatmulTile, float>(line(i), place(i))] = values[i];
  }
};

}  // namespace

// Bound by operations. While a step is multiplied, registers receive the next one.
extern "C" __global__ void __launch_bounds__(kMatmulThreads)
    matmul_f32(const __grid_constant__ MatmulArguments arguments) {
  constexpr int kTileElements = Core::kLines * kMatmulTile;
  __shared__ __align__(16) float a_tiles[2][kTileElements], b_tiles[2][kTileElements];
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kMatmulTile;
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * kMatmulTile;
  const Operand a{arguments.a, arguments.transpose_a == 0, first_row};
  const Operand b{arguments.b, arguments.transpose_b != 0, first_column};

  Core core;
  float of_a[kElements], of_b[kElements];
  a.fetch(of_a, 0);
  b.fetch(of_b, 0);
  int stage = 0;
  for (int64_t line = 0; line < arguments.inner; line += Core::kLines, stage ^= 1) {
    a.put(a_tiles[stage], of_a);
    b.put(b_tiles[stage], of_b);
    // One barrier a step: whoever stores to a stage again has passed the next barrier, and all have read it by then.
    __syncthreads();
    a.fetch(of_a, line + Core::kLines);
    b.fetch(of_b, line + Core::kLines);
    core.add(a_tiles[stage], b_tiles[stage]);
  }
  const auto put = [&](int64_t at, int64_t column, float sum) {
    if (at < arguments.c.rows && column < arguments.c.channels) row<float>(arguments.c, at)[column] = sum;
  };
  core.each_pair([&](int at, int column, float sum, float next) {
    put(first_row + at, first_column + column, sum);
    put(first_row + at, first_column + column + 1, next);
  });
}

namespace {

// Rows of shared memory: what threads store across them lies in different banks.
constexpr int kSmallStrideA = kSmallRows + 4, kSmallStrideB = kSmallColumns + 4;
constexpr int kSmallWarps = kMatmulThreads / kWarp, kLinesOfWarp = kSmallLines / kSmallWarps;
static_assert(kSmallRows * kSmallLines == 4 * kMatmulThreads && kSmallColumns * kSmallLines == 8 * kMatmulThreads);

// Four neighbours of a matrix, zeros where it ends.
__device__ __forceinline__ void fetch_four(float (&values)[4], const View& view, int64_t at, int64_t column) {
  const bool exists = at < view.rows && column < view.channels;
  const int count = exists ? static_cast<int>(min(int64_t{4}, view.channels - column)) : 0;
  load_some(values, row<const float>(view, exists ? at : 0) + (exists ? column : 0), count,
            count == 4 && view.alignment >= 4);
}

// Where a thread's four numbers of an operand come from and go to: at `line` and `place` of the tile, and along the
// lines if the operand has its inner dimension in its rows. Lanes side by side read whole sectors and write to
// different banks.
struct Four {
  int line, place;
  bool along_lines;

  __device__ __forceinline__ void fetch(float (&values)[4], const View& view, int64_t first_line,
                                        int64_t first_place) const {
    const int64_t at = first_line + line, other = first_place + place;
    fetch_four(values, view, along_lines ? other : at, along_lines ? at : other);
  }
  __device__ __forceinline__ void put(float* tile, int stride, const float (&values)[4]) const {
    if (!along_lines) return store(tile + line * stride + place, values);
#pragma unroll
    for (int i = 0; i < 4; i++) tile[(line + i) * stride + place] = values[i];
  }
};

// Of a, [16 rows of c][64 lines] or the transpose.
__device__ __forceinline__ Four four_of_a(bool transposed) {
  const int t = threadIdx.x;
  if (!transposed) return {t / kSmallRows * 4, t % kSmallRows, true};
  // Of eight lanes the second four take a line that is four further on.
  return {t / 32 * 8 + t / 4 % 2 * 4 + t / 8 % 4, t % 4 * 4, false};
}
// Of b, [64 lines][32 columns of c] or the transpose; each thread has two.
__device__ __forceinline__ Four four_of_b(bool transposed, int which) {
  const int t = threadIdx.x + which * kMatmulThreads;
  if (transposed) return {(t % 2 + t / 64 * 2) * 4, t / 2 % kSmallColumns, true};
  return {t / 8, t % 8 * 4, false};
}

}  // namespace

// Small products: bound by the latency of loads, so by how many blocks there are and how often each waits. Tiles of 16
// x 32 are many; eight warps of a block share out the inner dimension, 64 lines at a time, while the next 64 are on
// their way, and add up what each has in the order of the warps.
extern "C" __global__ void __launch_bounds__(kMatmulThreads)
    matmul_small_f32(const __grid_constant__ SmallMatmulArguments arguments) {
  __shared__ __align__(16) float a_tile[kSmallLines * kSmallStrideA], b_tile[kSmallLines * kSmallStrideB];
  __shared__ __align__(16) float of_warps[kSmallWarps][kSmallRows * kSmallColumns];
  __shared__ __align__(16) float column_sums[kSmallWarps][kSmallColumns];
  const MatmulArguments& product = arguments.product;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kSmallRows;
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * kSmallColumns;
  const Four of_a = four_of_a(product.transpose_a);
  const Four of_b[2] = {four_of_b(product.transpose_b, 0), four_of_b(product.transpose_b, 1)};
  float a[4], b[2][4];
  const auto fetch = [&](int64_t line) {
    of_a.fetch(a, product.a, line, first_row);
#pragma unroll
    for (int i = 0; i < 2; i++) of_b[i].fetch(b[i], product.b, line, first_column);
  };
  // A lane has 4 x 4 numbers of the tile.
  const int warp = threadIdx.x / kWarp, own_row = threadIdx.x % kWarp / 8 * 4, own_column = threadIdx.x % 8 * 4;
  float sums[4][4] = {}, of_columns[4] = {};
  fetch(0);
  for (int64_t line = 0; line < product.inner; line += kSmallLines) {
    __syncthreads();
    of_a.put(a_tile, kSmallStrideA, a);
#pragma unroll
    for (int i = 0; i < 2; i++) of_b[i].put(b_tile, kSmallStrideB, b[i]);
    __syncthreads();
    fetch(line + kSmallLines);
#pragma unroll
    for (int k = 0; k < kLinesOfWarp; k++) {
      const int at = warp * kLinesOfWarp + k;
      float left[4], right[4];
      load(left, a_tile + at * kSmallStrideA + own_row);
      load(right, b_tile + at * kSmallStrideB + own_column);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        of_columns[j] += right[j];
#pragma unroll
        for (int i = 0; i < 4; i++) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; i++) store(of_warps[warp] + (own_row + i) * kSmallColumns + own_column, sums[i]);
  if (own_row == 0) store(column_sums[warp] + own_column, of_columns);
  __syncthreads();
  const int column = threadIdx.x % kSmallColumns;
  const int64_t to_column = first_column + column;
  if (to_column >= product.c.channels) return;
  constexpr int kRowsAtOnce = kMatmulThreads / kSmallColumns;
#pragma unroll
  for (int part = 0; part < kSmallRows / kRowsAtOnce; part++) {
    const int r = threadIdx.x / kSmallColumns + part * kRowsAtOnce;
    if (first_row + r >= product.c.rows) continue;
    float sum = arguments.bias ? arguments.bias[to_column] : 0.0f;
#pragma unroll
    for (int w = 0; w < kSmallWarps; w++) sum += of_warps[w][r * kSmallColumns + column];
    if (arguments.residual.data) sum += row<const float>(arguments.residual, first_row + r)[to_column];
    row<float>(product.c, first_row + r)[to_column] = sum;
  }
  if (!arguments.column_sums || blockIdx.x > 0 || threadIdx.x >= kSmallColumns) return;
  float sum = column_sums[0][column];
#pragma unroll
  for (int w = 1; w < kSmallWarps; w++) sum += column_sums[w][column];
  arguments.column_sums[to_column] = sum;
}

}  // namespace diffuse::cuda
