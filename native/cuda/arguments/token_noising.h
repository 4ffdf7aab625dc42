// Arguments of cuda/ops/token_noising.cu.
#pragma once

#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kTokenNoisingThreads = 128;

struct TokenNoisingArguments {
  View xt;
  float* timestep;
  const int32_t* tokens;
  const float* keep;
  int32_t length, levels;  // tokens of a sample; noise levels
  uint32_t timestep_purpose, noise_purpose;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
