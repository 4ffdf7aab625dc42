// Arguments of cuda/ops/self_conditioning.cu.
#pragma once

#include "cuda/arguments/failure.h"
#include "cuda/arguments/samples.h"

namespace diffuse::cuda {

constexpr int kSelfConditioningThreads = 256;

struct SelfConditioningArguments {
  View estimate, xt, prediction, coefficients;
  Samples samples;
  uint32_t purpose;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
