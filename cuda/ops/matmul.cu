// Matrix product of float32 (ops/matmul.h), exact: multiply-adds of the general cores.
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

// Bound by operations where matrices are large, by the time of a block where they are small, as they are here: tiles of
// 64 x 64 make more blocks of the same product. While a step is multiplied, registers receive the next one.
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

}  // namespace diffuse::cuda
