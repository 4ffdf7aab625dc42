// The backward pass by the vector units; attention/matrix_backward.h says who owns and what passes by. Bound by
// arithmetic, as the forward pass.
#pragma once

#include "attention/query_numbers.h"
#include "attention/vector_tiles.h"

namespace diffuse::cuda {

template <typename T, int Slices, bool OwnsKeys>
__device__ __forceinline__ void vector_backward(const AttentionBackwardArguments& arguments) {
  __shared__ VectorShared shared;
  const AttentionShape& shape = arguments.shape;
  const HeadPlace place(shape, kVectorRows);
  const HeadRows<const T> q(arguments.q, shape, place), k(arguments.k, shape, place), v(arguments.v, shape, place),
      dy(arguments.dy, shape, place);
  const HeadRows<const T>&own0 = OwnsKeys ? k : q, &own1 = OwnsKeys ? v : dy;
  const HeadRows<const T>&streamed0 = OwnsKeys ? q : k, &streamed1 = OwnsKeys ? dy : v;
  const VectorPlace own;
  const int32_t first_column = static_cast<int32_t>(blockIdx.y) * kVectorRows * Slices;
  const LogitScale scale(shape);
  const HeadQueries queries(arguments, place);
  VectorOutputs<Slices> out0 = {}, out1 = {};
  for (int32_t first = 0; first < shape.positions; first += kVectorRows) {
    float x[kPart][kPart] = {}, dp[kPart][kPart] = {};
    multiply_rows<T>(x, shared, own0, place.first, streamed0, first, shape);
    multiply_rows<T>(dp, shared, own1, place.first, streamed1, first, shape);
#pragma unroll
    for (int i = 0; i < kPart; i++) {
#pragma unroll
      for (int j = 0; j < kPart; j++) {
        const int32_t row = place.first + own.y + 16 * i, column = first + own.x + 16 * j;
        const QueryNumbers query = queries.at(OwnsKeys ? column : row);
        float &p = x[i][j], &dx = dp[i][j];
        p = exp2f(fmaf(p, scale.binary, -query.log_sum_exp));
        if (!OwnsKeys && column >= shape.positions) p = 0;
        dx = p * (dx - query.delta);
      }
    }
    if constexpr (OwnsKeys) {
      put(shared, x);
      multiply_columns<Slices, T>(out1, shared, streamed1, first, first_column, shape);
      __syncthreads();
    }
    put(shared, dp);
    multiply_columns<Slices, T>(out0, shared, streamed0, first, first_column, shape);
  }
#pragma unroll
  for (int s = 0; s < Slices; s++)
#pragma unroll
    for (int i = 0; i < kPart; i++)
#pragma unroll
      for (int n = 0; n < 4; n++) out0[s][i][n] *= scale.natural;
  const HeadRows<T> to(OwnsKeys ? arguments.dk : arguments.dq, shape, place);
  write_outputs<Slices, T>(out0, to, place.first, first_column, shape);
  if constexpr (OwnsKeys)
    write_outputs<Slices, T>(out1, HeadRows<T>(arguments.dv, shape, place), place.first, first_column, shape);
}

}  // namespace diffuse::cuda
