// Arguments of cuda/ops/random.cu.
#pragma once

#include "cuda/arguments/failure.h"
#include "cuda/arguments/samples.h"

namespace diffuse::cuda {

constexpr int kRandomThreads = 256;

struct RandomArguments {
  View y;
  Samples samples;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
