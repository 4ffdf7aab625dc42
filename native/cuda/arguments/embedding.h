// Arguments of cuda/ops/embedding.cu.
#pragma once

#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

constexpr int kEmbeddingThreads = 128;

struct EmbeddingArguments {
  View table, rows;  // or their gradients
  const int32_t* index;
  Reporter reporter;
};

}  // namespace diffuse::cuda
