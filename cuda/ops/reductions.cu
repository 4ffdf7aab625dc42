// Sums over pixels, over samples' elements and over everything (native/ops/reductions.h has the formulas). Each is two
// kernels: blocks sum parts, which depend on shapes alone, and others sum the parts. The former are bound by bytes, the
// latter by latency.
// @promises ld.global.v4 shfl.sync
// @moves 64 sum_pixels sum_samples_parts
#include "common/line_sums.h"
#include "common/pixels.h"
#include "common/reduce.h"
#include "common/tiling.h"
#include "cuda/arguments/reductions.h"

namespace diffuse::cuda {
namespace {

// A thread has few enough pixels to sum them in float32.
template <typename T, int Width>
__device__ __forceinline__ void sum_pixels(const SumPixelsArguments& arguments) {
  __shared__ LineSums<kTilingThreads, 1, double> shared;
  const Tiling& t = arguments.tiling;
  const View images[] = {arguments.x};
  const int32_t C = arguments.x.channels;
  const Walk walk = walk_of(t, C);
  float sums[1][Width] = {};
  for_each_pixel<Width, T>(walk, images, [&](int64_t, const float(&x)[1][Width]) {
#pragma unroll
    for (int k = 0; k < Width; k++) sums[0][k] += x[0][k];
  });
  double* parts = arguments.parts + (walk.sample * t.blocks + walk.block) * C;
  sum_lines<kTilingThreads, 1, Width>(sums, t.columns, first_channel_of(t), C, shared,
                                      [&](int, int32_t channel, double sum) { parts[channel] = sum; });
}

// Σ of the block's piece, this thread's share of it.
template <int Width>
__device__ __forceinline__ double sum_piece(const SumSamplesArguments& arguments) {
  const int64_t row_piece = blockIdx.x / static_cast<uint32_t>(arguments.column_pieces);
  const int64_t sample = row_piece / arguments.row_pieces,
                first = row_piece % arguments.row_pieces * arguments.piece_rows;
  const int32_t column = blockIdx.x % arguments.column_pieces * arguments.piece_columns;
  const int32_t rows = static_cast<int32_t>(min(arguments.piece_rows, arguments.rows - first));
  const int32_t packs = min(arguments.piece_columns, arguments.x.channels - column) / Width;
  double sum = 0;
  for (int32_t i = threadIdx.x; i < rows * packs; i += kTilingThreads) {
    float x[Width];
    load(x, row<const float>(arguments.x, sample * arguments.rows + first + i / packs) + column + i % packs * Width);
#pragma unroll
    for (int k = 0; k < Width; k++) sum += x[k];
  }
  return sum;
}

}  // namespace

#define DIFFUSE_IMAGES(suffix, T)                                                                           \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                              \
      sum_pixels_##suffix(const __grid_constant__ SumPixelsArguments arguments) {                           \
    with_width<T>(arguments.tiling, [&](auto width) { sum_pixels<T, decltype(width)::value>(arguments); }); \
  }
DIFFUSE_IMAGES(f32, float)
DIFFUSE_IMAGES(bf16, bf16)

extern "C" __global__ void __launch_bounds__(kTilingThreads)
    sum_pixels_total(const __grid_constant__ SumPixelsArguments arguments) {
  __shared__ double shared[kTilingThreads];
  const PartColumn at = part_column_of(arguments.x.channels);
  const double sum = sum_sample_parts<kTilingThreads>(arguments.parts, arguments.tiling.blocks, at, shared);
  if (at.emits) row<float>(arguments.y, at.sample)[at.column] = static_cast<float>(sum);
}

extern "C" __global__ void __launch_bounds__(kTilingThreads)
    sum_samples_parts(const __grid_constant__ SumSamplesArguments arguments) {
  __shared__ double shared[kTilingThreads / kWarp];
  const double own = is_wide<kWide<float>>(arguments.x) ? sum_piece<kWide<float>>(arguments) : sum_piece<1>(arguments);
  const double sum = fold_block<kTilingThreads>(own, shared);
  if (threadIdx.x == 0) arguments.parts[blockIdx.x] = sum;
}

// One block a sample.
extern "C" __global__ void __launch_bounds__(kTilingThreads)
    sum_samples_total(const __grid_constant__ SumSamplesArguments arguments) {
  __shared__ double shared[kTilingThreads / kWarp];
  const int64_t count = arguments.row_pieces * arguments.column_pieces;
  double own = 0;
  for (int64_t i = threadIdx.x; i < count; i += kTilingThreads) own += arguments.parts[blockIdx.x * count + i];
  const double sum = fold_block<kTilingThreads>(own, shared);
  if (threadIdx.x == 0) arguments.y[blockIdx.x] = static_cast<float>(sum);
}

}  // namespace diffuse::cuda
