// Arguments of cuda/ops/dynamic_threshold.cu.
#pragma once

#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kDynamicThresholdThreads = 1024;

struct DynamicThresholdArguments {
  View x0, x, prediction;
  int64_t rows_of_sample;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
