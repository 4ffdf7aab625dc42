// Arguments of cuda/ops/group_norm_gradient.cu. ops/group_norm.h has the formulas and the legend.
#pragma once

#include "cuda/arguments/norm.h"
#include "cuda/arguments/tiling.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kGroupThreads = 128;

struct NormaliseBackwardArguments {
  View dz, sums, dy, x;
  NormArguments norm;
  Tiling tiling;  // a block has one chunk
  int32_t silu;
};

// Of a channel of a sample: Σ dz, Σ dz h and Σ (x - μ).
constexpr int kChannelTotals = 3;

struct GroupNormGradientArguments {
  float *coefficients, *dgamma, *dbeta;
  View pixel_sums, sums, moments;
  const float *mean, *rstd, *gamma;
  double* totals;  // [N, kChannelTotals, C]
  int64_t samples, pixels, chunk, chunks;
  int32_t channels, groups, group_channels;
  int32_t columns;  // threads side by side on the channels of a group, a power of two up to 32
};

struct NormaliseGradientArguments {
  View dx, dz, x, addend;
  const float* coefficients;
  Tiling tiling;
};

}  // namespace diffuse::cuda
