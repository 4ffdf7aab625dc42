// Arguments of cuda/ops/weighted_mse.cu.
#pragma once

#include "cuda/arguments/chunks.h"
#include "cuda/arguments/samples.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kWeightedMseThreads = 256;

struct WeightedMseArguments {
  View dprediction, prediction, target;
  Samples samples;
  const float *weight, *dloss;
  float *loss, *per_sample;
  double* partials;  // [samples, chunks]
  Chunks chunks;     // of a sample
};

}  // namespace diffuse::cuda
