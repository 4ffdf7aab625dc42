// Hands normalisations to kernels.
#pragma once

#include "cuda/arguments/norm.h"
#include "engine/tensor.h"

namespace diffuse::cuda {

// Of mean, rstd, gamma and beta, which follow one another in every signature; all null where they are absent.
static inline NormArguments norm_arguments(const Tensor* mean) {
  if (!mean->data) return {};
  const int64_t groups = mean->shape[1];
  return {f32(mean[0]),
          f32(mean[1]),
          f32(mean[2]),
          f32(mean[3]),
          static_cast<int32_t>(groups),
          static_cast<int32_t>(channels(mean[2]) / groups)};
}

}  // namespace diffuse::cuda
