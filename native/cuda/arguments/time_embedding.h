// Arguments of cuda/ops/time_embedding.cu.
#pragma once

#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kTimeEmbeddingThreads = 128;

struct TimeEmbeddingArguments {
  View y;
  const float *t, *frequencies;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
