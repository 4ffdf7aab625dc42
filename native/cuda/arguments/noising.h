// Arguments of cuda/ops/noising.cu.
#pragma once

#include "cuda/arguments/failure.h"
#include "cuda/arguments/samples.h"

namespace diffuse::cuda {

constexpr int kNoisingThreads = 256;

// What the levels of all samples are drawn to, once, for the kernel that goes over their elements.
struct NoiseLevel {
  float signal, noise, target_x0, target_eps;
  int32_t mirrored;
};

struct NoisingArguments {
  View xt, target, timestep, weight, extra, images, table, level;
  Samples samples;
  int32_t channels, width;  // of an image, whose rows a view need not show; 0 where there is no width
  NoiseLevel* levels;       // [samples]
  float* shifts;            // [samples, channels]: offsetNoise times a normal number each
  uint32_t timestep_purpose, flip_purpose, noise_purpose, offset_purpose;
  const double* attributes;
  Reporter reporter;
};

}  // namespace diffuse::cuda
