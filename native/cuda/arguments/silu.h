// Arguments of cuda/ops/silu.cu.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kSiluThreads = 256;

struct SiluForwardArguments {
  View y, x;
};

struct SiluBackwardArguments {
  View dx, dy, x;
};

}  // namespace diffuse::cuda
