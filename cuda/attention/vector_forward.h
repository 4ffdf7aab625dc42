// The forward pass by the vector units: as that by the matrix unit (attention/matrix_forward.h), with p in shared
// memory between the products.
//
// Bound by arithmetic: a thread loads 8 times 128 bits from shared memory for 64 multiplications. Where a head has more
// columns than a block computes, several blocks each compute p.
#pragma once

#include "attention/vector_tiles.h"

namespace diffuse::cuda {

// The largest, or the sum, over the 16 threads of a row.
template <typename Join>
__device__ __forceinline__ float join_row(float value, Join&& join) {
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) value = join(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

template <typename T, int Slices>
__device__ __forceinline__ void vector_forward(const AttentionForwardArguments& arguments) {
  __shared__ VectorShared shared;
  const AttentionShape& shape = arguments.shape;
  const HeadPlace place(shape, kVectorRows);
  const HeadRows<const T> q(arguments.q, shape, place), k(arguments.k, shape, place), v(arguments.v, shape, place);
  const VectorPlace own;
  const int32_t first_column = static_cast<int32_t>(blockIdx.y) * kVectorRows * Slices;
  const float scale = LogitScale(shape).binary;
  VectorOutputs<Slices> out = {};
  float top[kPart], sum[kPart] = {};
#pragma unroll
  for (int i = 0; i < kPart; i++) top[i] = -INFINITY;
  for (int32_t first = 0; first < shape.positions; first += kVectorRows) {
    float x[kPart][kPart] = {};
    multiply_rows<T>(x, shared, q, place.first, k, first, shape);
#pragma unroll
    for (int i = 0; i < kPart; i++) {
      float largest = top[i];
#pragma unroll
      for (int j = 0; j < kPart; j++) {
        x[i][j] = first + own.x + 16 * j < shape.positions ? x[i][j] * scale : -INFINITY;
        largest = fmaxf(largest, x[i][j]);
      }
      largest = join_row(largest, [](float a, float b) { return fmaxf(a, b); });
      const float factor = exp2f(top[i] - largest);
      top[i] = largest;
      sum[i] *= factor;
#pragma unroll
      for (int j = 0; j < kPart; j++) {
        x[i][j] = exp2f(x[i][j] - largest);
        sum[i] += x[i][j];
      }
#pragma unroll
      for (int s = 0; s < Slices; s++)
#pragma unroll
        for (int n = 0; n < 4; n++) out[s][i][n] *= factor;
    }
    put(shared, x);
    multiply_columns<Slices, T>(out, shared, v, first, first_column, shape);
  }
  float* log_sum_exp = head_numbers(arguments.log_sum_exp, shape, place);
#pragma unroll
  for (int i = 0; i < kPart; i++) {
    const float total = join_row(sum[i], [](float a, float b) { return a + b; }), inverse = 1 / total;
#pragma unroll
    for (int s = 0; s < Slices; s++)
#pragma unroll
      for (int n = 0; n < 4; n++) out[s][i][n] *= inverse;
    const int32_t row = place.first + own.y + 16 * i;
    if (blockIdx.y == 0 && own.x == 0 && row < shape.positions) log_sum_exp[row] = fmaf(top[i], kLn2, logf(total));
  }
  write_outputs<Slices, T>(out, HeadRows<T>(arguments.y, shape, place), place.first, first_column, shape);
}

}  // namespace diffuse::cuda
