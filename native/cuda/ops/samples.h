// What the host sides of kernels have in common that go over samples (cuda/common/samples.h).
#pragma once

#include "cuda/arguments/failure.h"
#include "cuda/arguments/samples.h"
#include "cuda/views.h"
#include "engine/signature.h"

namespace diffuse::cuda {

static inline Reporter reporter(Launcher& launcher) { return {launcher.failure(), launcher.kernel()}; }

static inline Samples samples_of(const Launcher& launcher, const Tensor& tensor) {
  const int64_t length = elements(tensor) / tensor.shape[0];
  if (length > kLongestRow)
    fail("ERR_SHAPE", signatures()[static_cast<size_t>(launcher.kernel())].kernel.c_str(),
         "a sample has %lld elements, a GPU takes %lld", static_cast<long long>(length),
         static_cast<long long>(kLongestRow));
  return {tensor.shape[0], static_cast<int32_t>(length)};
}

// A contiguous tensor as one row a sample.
static inline View sample_view(const Tensor& tensor) { return view_as(tensor, tensor.data ? tensor.shape[0] : 1); }

// Blocks for kernels whose threads take four neighbouring elements.
static inline Grid grid_for_runs(const Samples& samples, int threads, const Limits& limits) {
  return grid_for(samples.count * blocks_of(samples.elements, 4), threads, limits);
}

}  // namespace diffuse::cuda
