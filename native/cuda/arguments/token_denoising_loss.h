// Arguments of cuda/ops/token_denoising_loss.cu.
#pragma once

#include "cuda/arguments/chunks.h"
#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kTokenDenoisingLossThreads = 128;

struct TokenDenoisingLossArguments {
  View logits, dlogits, xt;
  const int32_t* tokens;
  const float *timestep, *keep, *dloss;
  int32_t length, levels;  // tokens of a sample; noise levels
  float *loss, *bound, *cross_entropy;
  double* partials;  // [blocks, 2]: divergences, cross-entropies
  int64_t blocks;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
