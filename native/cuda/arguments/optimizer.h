// Arguments of cuda/ops/optimizer.cu.
#pragma once

#include "cuda/arguments/chunks.h"
#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kOptimizerThreads = 256;

struct GradientNormArguments {
  const float* gradient;
  int64_t count;
  bool aligned;  // to 16 bytes
  float* norm;
  double* partials;  // one a chunk
  Chunks chunks;
};

struct AdamwEmaArguments {
  float *parameter, *first_moment, *second_moment, *ema;
  const float *gradient, *norm;
  int64_t count;
  bool aligned;  // all of them to 16 bytes
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
