// Arguments of cuda/ops/sampler_update.cu.
#pragma once

#include "cuda/arguments/failure.h"
#include "cuda/arguments/samples.h"

namespace diffuse::cuda {

constexpr int kSamplerUpdateThreads = 256;

struct SamplerUpdateArguments {
  View x_next, x0, history_next, older_next, x, prediction, history, older, noise, variance;
  Samples samples;
  uint32_t purpose;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
