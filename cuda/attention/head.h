// One head of one sample as attention kernels see it. N samples, S positions, H heads, D channels of a head.
#pragma once

#include "common/image.h"
#include "cuda/arguments/attention.h"

namespace diffuse::cuda {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

// The head, and the tile of its rows, that a block works on.
struct HeadPlace {
  int64_t sample;
  int32_t head, first;  // first: row of the tile

  __device__ __forceinline__ HeadPlace(const AttentionShape& shape, int tile_rows) {
    const uint32_t tiles = shape.tiles, heads = shape.heads;
    first = static_cast<int32_t>(blockIdx.x % tiles) * tile_rows;
    head = static_cast<int32_t>(blockIdx.x / tiles % heads);
    sample = blockIdx.x / tiles / heads;
  }
};

// The [S, D] matrix of a head.
template <typename T>
struct HeadRows {
  T* data;
  int64_t stride;

  __device__ __forceinline__ HeadRows(const View& view, const AttentionShape& shape, const HeadPlace& place)
      : data(static_cast<T*>(view.data) + place.sample * shape.positions * view.row_stride +
             int64_t{place.head} * shape.head_channels),
        stride(view.row_stride) {}
  __device__ __forceinline__ T* row(int32_t i) const { return data + i * stride; }
};

// The [S] numbers of a head, of [N, H, S].
template <typename T>
__device__ __forceinline__ T* head_numbers(T* numbers, const AttentionShape& shape, const HeadPlace& place) {
  return numbers + (place.sample * shape.heads + place.head) * shape.positions;
}

// scale, and scale times log2 e: exponentials are taken to base 2.
struct LogitScale {
  float natural, binary;

  __device__ __forceinline__ explicit LogitScale(const AttentionShape& shape)
      : natural(static_cast<float>(shape.attributes[1])),
        binary(static_cast<float>(shape.attributes[1] * 1.4426950408889634)) {}
};

}  // namespace diffuse::cuda
