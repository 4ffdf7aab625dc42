// Arguments of cuda/ops/matmul.cu; ops/matmul.h has the legend.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kMatmulTile = 64;  // rows and columns of c
constexpr int kMatmulThreads = 256;

struct MatmulArguments {
  View c, a, b;
  int64_t inner;  // K
  int32_t transpose_a, transpose_b;
};

}  // namespace diffuse::cuda
