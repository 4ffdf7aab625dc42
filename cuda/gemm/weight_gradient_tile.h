// What blocks of gradients of weights (cuda/ops/conv2d_weight_gradient.cu) do before and after their products: copies
// of images' rows into tiles (gemm/reduction_tile.h), sums of columns, writing.
#pragma once

#include "common/instructions.h"
#include "cuda/arguments/conv2d_weight_gradient.h"
#include "gemm/reduction_tile.h"

namespace diffuse::cuda {

// Copies lines of a tile from the rows of an image, without a way through registers. A thread copies the same chunk of
// kCopies lines, kPass apart, all of which have their chunks at the same places.
template <typename T, int Width, int Lines, int Threads>
struct ChunkCopies {
  static constexpr int kChunks = Width / kWide<T>;
  static constexpr int kPass = Threads / kChunks;
  static constexpr int kCopies = Lines / kPass;
  static_assert(kPass % 8 == 0 && kCopies * kPass == Lines);

  const char* from;  // the chunk in row 0
  int row_bytes;
  int chunk_bytes;  // that the image has of it
  int place;        // of the first copy, in elements

  __device__ __forceinline__ static int chunk() { return threadIdx.x % kChunks; }
  __device__ __forceinline__ static int line(int copy) { return threadIdx.x / kChunks + copy * kPass; }

  __device__ __forceinline__ ChunkCopies(const AlignedImage& image, int channel, bool exists)
      : from(static_cast<const char*>(image.data) + static_cast<int64_t>(channel) * sizeof(T)),
        row_bytes(image.row_bytes),
        chunk_bytes(exists ? min(max(image.channels - channel, 0) * static_cast<int>(sizeof(T)), 16) : 0),
        place(line(0) * Width + swizzled_chunk<T>(line(0), chunk()) * kWide<T>) {}

  // Of a row that is not present, or a chunk that does not exist, zeros are copied, and the address is not looked at.
  __device__ __forceinline__ void copy(T* tile, int copy, int row, bool present) const {
    copy_async_part(shared_address(tile + place + copy * kPass * Width), from + static_cast<int64_t>(row) * row_bytes,
                    present ? chunk_bytes : 0);
  }
};

// The sums over the lines of a tile of dy, a column a thread; threads with the same column share the lines.
template <typename T, int Columns, int Lines, int Threads>
struct ColumnSums {
  static constexpr int kSharers = Threads / Columns;
  float sum = 0;

  __device__ __forceinline__ void add(const T* tile) {
    const int column = threadIdx.x % Columns, first = threadIdx.x / Columns;
#pragma unroll
    for (int line = 0; line < Lines; line += kSharers)
      sum += to_float(tile[tile_offset<Columns, T>(first + line, column)]);
  }

  // As the split's gradient of the bias. All threads must call it; `shared` holds a float of each.
  __device__ __forceinline__ void write(const Conv2dWeightGradientArguments& arguments, int first_column,
                                        float* shared) {
    if constexpr (kSharers > 1) {
      __syncthreads();
      shared[threadIdx.x] = sum;
      __syncthreads();
      if (threadIdx.x >= Columns) return;
      for (int other = 1; other < kSharers; other++) sum += shared[threadIdx.x + other * Columns];
    }
    const int K = arguments.dy.channels - arguments.dy.skipped;
    const int k = first_column + static_cast<int>(threadIdx.x) - arguments.dy.skipped;
    if (k >= 0 && k < K) arguments.dbias[static_cast<int64_t>(blockIdx.z) * K + k] = sum;
  }
};

// Two neighbouring sums of a split, of the weights of channel `x_channel` of x at a tap and of channels `dy_channel`
// and the next of dy, both with those that are skipped.
__device__ __forceinline__ void write_pair(const Conv2dWeightGradientArguments& arguments, int tap, int x_channel,
                                           int dy_channel, float sum, float next) {
  const int C = arguments.x.channels - arguments.x.skipped, K = arguments.dy.channels - arguments.dy.skipped;
  const int c = x_channel - arguments.x.skipped, k = dy_channel - arguments.dy.skipped;
  if (tap >= arguments.taps || c < 0 || c >= C) return;
  float* const to = arguments.dweight + ((static_cast<int64_t>(blockIdx.z) * arguments.taps + tap) * C + c) * K + k;
  if (k >= 0 && k + 1 < K && reinterpret_cast<uintptr_t>(to) % sizeof(float2) == 0) {
    *reinterpret_cast<float2*>(to) = make_float2(sum, next);
    return;
  }
  if (k >= 0 && k < K) to[0] = sum;
  if (k + 1 >= 0 && k + 1 < K) to[1] = next;
}

}  // namespace diffuse::cuda
