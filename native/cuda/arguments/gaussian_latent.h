// Arguments of cuda/ops/gaussian_latent.cu.
#pragma once

#include "cuda/arguments/chunks.h"
#include "cuda/arguments/samples.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

constexpr int kGaussianLatentThreads = 128;

struct GaussianLatentArguments {
  View z, dz, moments, dmoments, noise;
  int64_t samples;
  float* kl;
  const float* dkl;
  double* partials;  // one a chunk
  Chunks chunks;
};

}  // namespace diffuse::cuda
