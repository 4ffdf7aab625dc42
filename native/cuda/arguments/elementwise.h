// Arguments of cuda/ops/elementwise.cu.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kElementwiseThreads = 256;

// One struct for all: y = f(a, b). b is a second image, or t [N, C], or one number a sample; it may be absent.
struct ElementwiseArguments {
  View y, a{}, b{};
  const double* attributes = nullptr;
  int64_t pixels = 1;  // of a sample, where b has a row or a number for each
};

}  // namespace diffuse::cuda
