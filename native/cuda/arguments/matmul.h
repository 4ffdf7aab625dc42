// Arguments of cuda/ops/matmul.cu; ops/matmul.h has the legend.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kMatmulTile = 64;  // rows and columns of c
constexpr int kMatmulThreads = 256;
// Of small products; so many lines of the inner dimension are multiplied at a time.
constexpr int kSmallRows = 16, kSmallColumns = 32, kSmallLines = 64;

struct MatmulArguments {
  View c, a, b;
  int64_t inner;  // K
  int32_t transpose_a, transpose_b;
};

// c = a b + bias + residual, and the sums of the columns of b, each if it is there.
struct SmallMatmulArguments {
  MatmulArguments product;
  const float* bias;
  View residual;
  float* column_sums;
};

}  // namespace diffuse::cuda
