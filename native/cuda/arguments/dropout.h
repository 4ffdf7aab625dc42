// Arguments of cuda/ops/dropout.cu.
#pragma once

#include "cuda/arguments/failure.h"
#include "cuda/arguments/samples.h"

namespace diffuse::cuda {

constexpr int kDropoutThreads = 256;

struct DropoutArguments {
  View y, x;
  Samples samples;
  uint32_t purpose;  // without the layer
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
