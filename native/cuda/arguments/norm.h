// A group normalisation as kernels take it (ops/group_norm.h has the legend).
#pragma once

#include <cstdint>

namespace diffuse::cuda {

// Statistics [N, groups] and parameters [C]; all null where there is none.
struct NormArguments {
  const float *mean, *rstd, *gamma, *beta;
  int32_t groups, group_channels;
};

}  // namespace diffuse::cuda
