// Sums over the threads of a block that stand on the same channels (cuda/arguments/tiling.h, tile_chunks), and over the
// parts that blocks left of them. All in an order that depends on shapes alone.
#pragma once

#include "common/tiling.h"
#include "common/warp.h"

namespace diffuse::cuda {

constexpr int kLineChannels = 64;  // the most of a block: 8 threads of 8 channels

// Where a channel's sum lies in shared memory: one place is left free behind as many as all banks hold, 128 bytes, or
// the 8 threads would write to the same banks.
template <typename Sum>
constexpr int kSumsOfBanks = 128 / sizeof(Sum);
template <typename Sum>
constexpr int kLinePlaces = kLineChannels + (kLineChannels - 1) / kSumsOfBanks<Sum>;
template <typename Sum>
__device__ __forceinline__ int line_place(int slot) {
  return slot + slot / kSumsOfBanks<Sum>;
}

template <int Threads, int Numbers, typename Sum>
struct LineSums {
  Sum of_warp[Numbers][Threads / kWarp][kLinePlaces<Sum>];
};

// emit(number, channel, sum) for every number of every channel of the block, once; `columns` threads, a power of two up
// to 32, stand side by side on Width channels each, the first of them on `first_channel`. All threads must call it,
// with zeros where they have nothing. Values may be float32 and their sums float64.
template <int Threads, int Numbers, int Width, typename Value, typename Sum, typename Emit>
__device__ __forceinline__ void sum_lines(const Value (&values)[Numbers][Width], int columns, int32_t first_channel,
                                          int32_t channels, LineSums<Threads, Numbers, Sum>& shared, Emit&& emit) {
  constexpr int kMostChannels = Width == 1 ? kWarp : kLineChannels;
  static_assert(Numbers * kMostChannels <= Threads, "a thread emits one sum");
  constexpr int kWarps = Threads / kWarp;
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int number = 0; number < Numbers; number++) {
#pragma unroll
    for (int k = 0; k < Width; k++) {
      Sum sum = values[number][k];
      for (int distance = columns; distance != kWarp; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
      if (lane < columns) shared.of_warp[number][threadIdx.x / kWarp][line_place<Sum>(lane * Width + k)] = sum;
    }
  }
  __syncthreads();
  const int block_channels = columns * Width;
  const int number = threadIdx.x / block_channels, slot = threadIdx.x % block_channels;
  if (number >= Numbers || first_channel + slot >= channels) return;
  Sum sum = shared.of_warp[number][0][line_place<Sum>(slot)];
#pragma unroll
  for (int warp = 1; warp < kWarps; warp++) sum += shared.of_warp[number][warp][line_place<Sum>(slot)];
  emit(number, first_channel + slot, sum);
}

// The first channel of the block that this thread belongs to.
__device__ __forceinline__ int32_t first_channel_of(const Tiling& t) {
  return blockIdx.x % t.column_blocks * t.columns * t.width;
}

// The column of parts [samples, count, columns] that a thread works on. The grid has a block for every kPartColumns
// columns of every sample; the first warp's threads emit what their columns sum up to.
struct PartColumn {
  int64_t sample, column, columns;
  bool exists, emits;
};
__device__ __forceinline__ PartColumn part_column_of(int64_t columns) {
  const uint32_t blocks = static_cast<uint32_t>((columns + kPartColumns - 1) / kPartColumns);
  PartColumn at;
  at.sample = blockIdx.x / blocks;
  at.column = int64_t{blockIdx.x % blocks} * kPartColumns + threadIdx.x % kPartColumns;
  at.columns = columns;
  at.exists = at.column < columns;
  at.emits = at.exists && threadIdx.x < kPartColumns;
  return at;
}

// The sum of the column of parts[count][stride], where `at` emits. `shared` holds a double a thread.
template <int Threads>
__device__ __forceinline__ double sum_parts(const double* parts, int64_t count, int64_t stride, const PartColumn& at,
                                            double* shared) {
  double sum = 0;
  if (at.exists)
    for (int64_t i = threadIdx.x / kPartColumns; i < count; i += Threads / kPartColumns)
      sum += parts[i * stride + at.column];
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (at.emits)
    for (int line = 1; line < Threads / kPartColumns; line++) sum += shared[threadIdx.x + line * kPartColumns];
  return sum;
}

// The same for the parts [samples, count, at.columns] of the thread's sample.
template <int Threads>
__device__ __forceinline__ double sum_sample_parts(const double* parts, int64_t count, const PartColumn& at,
                                                   double* shared) {
  return sum_parts<Threads>(parts + at.sample * count * at.columns, count, at.columns, at, shared);
}

}  // namespace diffuse::cuda
