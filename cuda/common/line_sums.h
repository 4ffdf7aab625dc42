// Sums over the threads of a block that stand on the same channels (cuda/arguments/tiling.h, tile_chunks), and over the
// parts that blocks left of them. All in an order that depends on shapes alone.
#pragma once

#include "common/tiling.h"
#include "common/warp.h"

namespace diffuse::cuda {

constexpr int kLineChannels = 64;  // the most of a block: 8 threads of 8 channels

template <int Threads, int Numbers, typename Sum>
struct LineSums {
  Sum of_warp[Numbers][Threads / kWarp][kLineChannels];
};

// emit(number, channel, sum) for every number of every channel of the block, once; `columns` threads, a power of two up
// to 32, stand side by side on Width channels each, the first of them on `first_channel`. All threads must call it,
// with zeros where they have nothing.
template <int Threads, int Numbers, int Width, typename Sum, typename Emit>
__device__ __forceinline__ void sum_lines(Sum (&values)[Numbers][Width], int columns, int32_t first_channel,
                                          int32_t channels, LineSums<Threads, Numbers, Sum>& shared, Emit&& emit) {
  constexpr int kWarps = Threads / kWarp;
  for (int distance = columns; distance < kWarp; distance *= 2) {
#pragma unroll
    for (int number = 0; number < Numbers; number++)
#pragma unroll
      for (int k = 0; k < Width; k++) values[number][k] += __shfl_xor_sync(kAllLanes, values[number][k], distance);
  }
  const int lane = threadIdx.x % kWarp;
  if (lane < columns) {
#pragma unroll
    for (int number = 0; number < Numbers; number++)
#pragma unroll
      for (int k = 0; k < Width; k++) shared.of_warp[number][threadIdx.x / kWarp][lane * Width + k] = values[number][k];
  }
  __syncthreads();
  const int block_channels = columns * Width;
  for (int i = threadIdx.x; i < Numbers * block_channels; i += Threads) {
    const int number = i / block_channels, slot = i % block_channels;
    if (first_channel + slot >= channels) continue;
    Sum sum = shared.of_warp[number][0][slot];
#pragma unroll
    for (int warp = 1; warp < kWarps; warp++) sum += shared.of_warp[number][warp][slot];
    emit(number, first_channel + slot, sum);
  }
}

// The first channel of the block that this thread belongs to.
__device__ __forceinline__ int32_t first_channel_of(const Tiling& t) {
  return blockIdx.x % t.column_blocks * t.columns * t.width;
}

constexpr int kPartColumns = 32;  // that a block sums in sum_parts

// The sum of one column of parts[count][stride], in the first warp's threads: a block of `Threads` takes kPartColumns
// columns, neighbouring threads neighbouring columns. `shared` holds a double a thread.
template <int Threads>
__device__ __forceinline__ double sum_parts(const double* parts, int64_t count, int64_t stride, int64_t column,
                                            double* shared) {
  constexpr int kLines = Threads / kPartColumns;
  double sum = 0;
  if (column < stride)
    for (int64_t i = threadIdx.x / kPartColumns; i < count; i += kLines) sum += parts[i * stride + column];
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x < kPartColumns)
    for (int line = 1; line < kLines; line++) sum += shared[line * kPartColumns + threadIdx.x];
  return sum;
}

}  // namespace diffuse::cuda
