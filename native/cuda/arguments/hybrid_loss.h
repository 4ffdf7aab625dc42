// Arguments of cuda/ops/hybrid_loss.cu.
#pragma once

#include "cuda/arguments/chunks.h"
#include "cuda/arguments/samples.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kHybridLossThreads = 128;

struct HybridLossArguments {
  View doutput, output, xt, target, coefficients;
  Samples samples;
  const float *weight, *importance, *dloss;
  float *loss, *per_sample, *bound;
  double* partials;  // [samples, chunks, 2]: squares, nats
  Chunks chunks;     // of a sample
  const double* attributes;
};

}  // namespace diffuse::cuda
