// The backward pass by the matrix unit. Nothing is summed by several blocks: one kernel owns rows of keys, for dk and
// dv, and lets queries pass by, another owns rows of queries, for dq, and lets keys pass by. Both compute the same,
// with the S x S matrix transposed in the former:
//
//   x = own₀ streamed₀ᵀ   dp = own₁ streamed₁ᵀ   dx = p (dp - δ)
//   out₀ += dx streamed₀  (dk or dq, times scale)   out₁ += p streamed₁  (dv)
//
//   owner of keys:    own = k, v    streamed = q, dy
//   owner of queries: own = q, dy   streamed = k, v
//
// Bound by the matrix unit and, as much, by shared memory. At D = 64 a warp has 32 rows, so that what it loads of
// streamed tiles is used twice: for 64 products 32 loads, which take an A100 as long as these. Of more columns a warp
// has 16 rows, since the accumulators of more would not fit its registers. For the same reason dk and dv of 256 columns
// are computed by two warps, 128 columns each, both of which compute p and dx: 1.5 times the work. One block of the
// eight warps that makes has a multiprocessor for itself, as the four that own queries of so many columns have.
#pragma once

#include "attention/matrix_tiles.h"
#include "attention/query_numbers.h"

namespace diffuse::cuda {

template <typename T, int D, bool OwnsKeys>
__device__ __forceinline__ void matrix_backward(const AttentionBackwardArguments& arguments) {
  constexpr int kRows = matrix_backward_rows(D, sizeof(T)), kStreamed = matrix_streamed_rows(D, sizeof(T));
  constexpr int kColumns = kStreamed / 8, kSlice = OwnsKeys ? matrix_slice(D) : D, kOutputs = OwnsKeys ? 2 : 1;
  constexpr int kThreads = OwnsKeys ? matrix_keys_threads(D) : kMatrixQueriesThreads, kRowWarps = 4;
  constexpr int kWarpRows = kRows / kRowWarps, kTiles = kWarpRows / 16;
  static_assert(kThreads / kWarp == kRowWarps * (D / kSlice), "a warp for all rows and slices");
  constexpr int kStride = kMatrixStride<T, D>, kTileElements = kStreamed * kStride;
  extern __shared__ uint4 shared_memory[];
  const AttentionShape& shape = arguments.shape;
  const HeadPlace place(shape, kRows);
  const HeadRows<const T> q(arguments.q, shape, place), k(arguments.k, shape, place), v(arguments.v, shape, place),
      dy(arguments.dy, shape, place);
  T* own[2] = {reinterpret_cast<T*>(shared_memory), reinterpret_cast<T*>(shared_memory) + kRows * kStride};
  T* streamed = own[1] + kRows * kStride;
  const auto fetch_streamed = [&](int stage, int32_t first) {
    fetch_tile<kThreads, kStreamed, D>(streamed + 2 * stage * kTileElements, OwnsKeys ? q : k, first, shape);
    fetch_tile<kThreads, kStreamed, D>(streamed + (2 * stage + 1) * kTileElements, OwnsKeys ? dy : v, first, shape);
    end_copies();
  };
  fetch_tile<kThreads, kRows, D>(own[0], OwnsKeys ? k : q, place.first, shape);
  fetch_tile<kThreads, kRows, D>(own[1], OwnsKeys ? v : dy, place.first, shape);
  fetch_streamed(0, 0);

  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warp_row = warp % kRowWarps * kWarpRows;
  for (T*& tile : own) tile += warp_row * kStride;
  const int32_t depth = padded_depth<T>(shape), slice = kSlice < D ? warp / kRowWarps * kSlice : 0;
  const int32_t own_row = place.first + warp_row + lane / 4;
  const float binary_scale = LogitScale(shape).binary;
  const HeadQueries queries(arguments, place);
  QueryNumbers of_rows[kTiles][2];
#pragma unroll
  for (int i = 0; i < kTiles; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) of_rows[i][half] = queries.at(own_row + 16 * i + 8 * half);
  Accumulator out[kOutputs][kTiles][kSlice / 8] = {};
  int stage = 0;
  for (int32_t first = 0; first < shape.positions; first += kStreamed, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    if (first + kStreamed < shape.positions) fetch_streamed(stage ^ 1, first + kStreamed);
    if (place.first + warp_row >= shape.positions) continue;  // none of the warp's rows exists
    const T *streamed0 = streamed + 2 * stage * kTileElements, *streamed1 = streamed0 + kTileElements;
    Accumulator x[kTiles][kColumns] = {}, dp[kTiles][kColumns] = {};
    multiply_rows<D>(x, own[0], streamed0, depth);
    multiply_rows<D>(dp, own[1], streamed1, depth);
#pragma unroll
    for (int j = 0; j < kColumns; j++) {
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int32_t column = first + j * 8 + lane % 4 * 2 + e;
        const QueryNumbers of_column = OwnsKeys ? queries.at(column) : of_rows[0][0];
#pragma unroll
        for (int i = 0; i < kTiles; i++) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            const QueryNumbers& query = OwnsKeys ? of_column : of_rows[i][half];
            float &p = x[i][j][2 * half + e], &dx = dp[i][j][2 * half + e];
            p = fast_exp2(fmaf(p, binary_scale, -query.log_sum_exp));
            if (!OwnsKeys && column >= shape.positions) p = 0;
            dx = p * (dx - query.delta);
          }
        }
      }
    }
    multiply_columns<D>(out[0], dp, streamed0 + slice, depth - slice);
    if constexpr (OwnsKeys) multiply_columns<D>(out[1], x, streamed1 + slice, depth - slice);
  }
  // Not asked for before, when it would take a register from the loop.
  const float natural_scale = LogitScale(shape).natural;
#pragma unroll
  for (int i = 0; i < kTiles; i++)
#pragma unroll
    for (int j = 0; j < kSlice / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) out[0][i][j][e] *= natural_scale;
  const int32_t first = place.first + warp_row;
  // Each warp writes by way of its own columns of rows that another has read.
  if constexpr (kSlice < D) __syncthreads();
  write_rows<D>(out[0], own[0] + slice, HeadRows<T>(OwnsKeys ? arguments.dk : arguments.dq, shape, place), first, slice,
                shape);
  if constexpr (OwnsKeys)
    write_rows<D>(out[1], own[1] + slice, HeadRows<T>(arguments.dv, shape, place), first, slice, shape);
}

}  // namespace diffuse::cuda
