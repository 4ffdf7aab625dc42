// Arguments of cuda/ops/group_norm.cu. ops/group_norm.h has the formulas and the legend.
#pragma once

#include "cuda/arguments/norm.h"
#include "cuda/arguments/tiling.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kStatisticsThreads = 128;

struct ChannelMomentsArguments {
  View moments, x;
  Tiling tiling;  // a block has one chunk
};

struct GroupNormStatisticsArguments {
  float *mean, *rstd;
  View moments;
  const double* attributes;  // the first is eps
  int64_t pixels, chunk, chunks;
  int32_t groups, group_channels;
};

struct NormaliseForwardArguments {
  View y, x;
  NormArguments norm;
  Tiling tiling;
  int32_t silu;
};

}  // namespace diffuse::cuda
