// Arguments of cuda/ops/softmax_cross_entropy.cu.
#pragma once

#include "cuda/arguments/chunks.h"
#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kSoftmaxCrossEntropyThreads = 256;

struct SoftmaxCrossEntropyArguments {
  View logits, dlogits;
  const int32_t* labels;
  float *loss, *per_row, *correct;
  const float* dloss;
  double* partials;  // one a block
  int64_t blocks;
  Reporter reporter;
};

}  // namespace diffuse::cuda
