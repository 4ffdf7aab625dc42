// The forward pass by the matrix unit, without the S x S matrix: the softmax is taken while keys pass by (Milakov and
// Gimelshein 2018, arXiv:1805.02867; Dao 2023, arXiv:2307.08691).
//
// Bound by the matrix unit and, nearly as much, by shared memory: a warp has 32 rows of queries (16 where its outputs
// would not fit its registers), so that keys and values that it loads are used twice. They come in tiles of 32, the
// next of them while this one is computed with, which lets two blocks of four warps share a multiprocessor of 100 KB at
// D = 64; at D = 256 one block of eight warps has it for itself (cuda/arguments/attention.h).
#pragma once

#include "attention/matrix_tiles.h"

namespace diffuse::cuda {

// The softmax of a warp's rows as far as keys have passed by. Each lane has the columns that accumulators give it; rows
// are complete in four neighbouring lanes.
template <int Tiles>
struct OnlineSoftmax {
  float top[Tiles][2],
      sum[Tiles][2];  // of a row: the largest logit to base 2, Σ 2^(logit - top) over this lane's columns

  __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
    for (int i = 0; i < Tiles; i++) top[i][0] = top[i][1] = -INFINITY, sum[i][0] = sum[i][1] = 0;
  }

  // Turns products q k into numerators of p, of which those of the first `keys` columns exist, and scales what was
  // accumulated before to the new largest logit.
  template <int Columns, int Outputs>
  __device__ __forceinline__ void take(Accumulator (&x)[Tiles][Columns], Accumulator (&out)[Tiles][Outputs],
                                       float scale, int32_t keys) {
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < Tiles; i++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float largest = top[i][half];
#pragma unroll
        for (int j = 0; j < Columns; j++) {
#pragma unroll
          for (int e = 0; e < 2; e++) {
            float& logit = x[i][j][2 * half + e];
            logit *= scale;
            if (j * 8 + column + e >= keys) logit = -INFINITY;
            largest = fmaxf(largest, logit);
          }
        }
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
        const float factor = fast_exp2(top[i][half] - largest);
        top[i][half] = largest;
        sum[i][half] *= factor;
#pragma unroll
        for (int j = 0; j < Columns; j++) {
#pragma unroll
          for (int e = 0; e < 2; e++) {
            float& p = x[i][j][2 * half + e];
            p = fast_exp2(p - largest);
            sum[i][half] += p;
          }
        }
        // Once the largest logits have passed by, nothing changes any more.
        if (__all_sync(kAllLanes, factor == 1)) continue;
#pragma unroll
        for (int j = 0; j < Outputs; j++) {
          out[i][j][2 * half] *= factor;
          out[i][j][2 * half + 1] *= factor;
        }
      }
    }
  }

  // Divides the outputs by the sums and writes the logarithms of these.
  template <int Outputs>
  __device__ __forceinline__ void finish(Accumulator (&out)[Tiles][Outputs], float* log_sum_exp, int32_t first,
                                         int32_t positions) {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int i = 0; i < Tiles; i++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float total = sum[i][half];
        total += __shfl_xor_sync(kAllLanes, total, 1);
        total += __shfl_xor_sync(kAllLanes, total, 2);
        const float inverse = 1 / total;
#pragma unroll
        for (int j = 0; j < Outputs; j++) {
          out[i][j][2 * half] *= inverse;
          out[i][j][2 * half + 1] *= inverse;
        }
        const int32_t r = first + 16 * i + 8 * half + lane / 4;
        if (lane % 4 == 0 && r < positions) log_sum_exp[r] = fmaf(top[i][half], kLn2, logf(total));
      }
    }
  }
};

template <typename T, int D>
__device__ __forceinline__ void matrix_forward(const AttentionForwardArguments& arguments) {
  constexpr int kThreads = matrix_forward_threads(D, sizeof(T));
  constexpr int kRows = kMatrixForwardRows, kKeys = matrix_forward_keys(D, sizeof(T));
  constexpr int kStride = kMatrixStride<T, D>, kTileElements = kKeys * kStride;
  constexpr int kWarpRows = kRows / (kThreads / kWarp), kTiles = kWarpRows / 16;
  extern __shared__ uint4 shared_memory[];
  const AttentionShape& shape = arguments.shape;
  const HeadPlace place(shape, kRows);
  const HeadRows<const T> q(arguments.q, shape, place), k(arguments.k, shape, place), v(arguments.v, shape, place);
  T* queries = reinterpret_cast<T*>(shared_memory);
  // Keys and values, twice: one pair is computed with while the other is filled.
  T* streamed = queries + kRows * kStride;
  const auto fetch_keys = [&](int stage, int32_t first) {
    fetch_tile<kThreads, kKeys, D>(streamed + 2 * stage * kTileElements, k, first, shape);
    fetch_tile<kThreads, kKeys, D>(streamed + (2 * stage + 1) * kTileElements, v, first, shape);
    end_copies();
  };
  fetch_tile<kThreads, kRows, D>(queries, q, place.first, shape);
  fetch_keys(0, 0);

  const int32_t depth = padded_depth<T>(shape), warp_row = static_cast<int32_t>(threadIdx.x / kWarp) * kWarpRows;
  const float scale = LogitScale(shape).binary;
  T* own = queries + warp_row * kStride;
  OnlineSoftmax<kTiles> softmax;
  Accumulator out[kTiles][D / 8] = {};
  int stage = 0;
  for (int32_t first = 0; first < shape.positions; first += kKeys, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    if (first + kKeys < shape.positions) fetch_keys(stage ^ 1, first + kKeys);
    if (place.first + warp_row >= shape.positions) continue;  // none of the warp's rows exists
    const T *keys = streamed + 2 * stage * kTileElements, *values = keys + kTileElements;
    Accumulator x[kTiles][kKeys / 8] = {};
    multiply_rows<D>(x, own, keys, depth);
    softmax.take(x, out, scale, shape.positions - first);
    multiply_columns<D>(out, x, values, depth);
  }
  const int32_t first = place.first + warp_row;
  softmax.finish(out, head_numbers(arguments.log_sum_exp, shape, place), first, shape.positions);
  write_rows<D>(out, own, HeadRows<T>(arguments.y, shape, place), first, 0, shape);
}

}  // namespace diffuse::cuda
