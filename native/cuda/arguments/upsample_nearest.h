// Arguments of cuda/ops/upsample_nearest.cu.
#pragma once

#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kUpsampleNearestThreads = 256;

struct UpsampleNearestArguments {
  View small, large;
  // Depth, height and width of the small image, and how many times as much the large one has. Missing ones are 1.
  int32_t size[3], factor[3];
};

}  // namespace diffuse::cuda
