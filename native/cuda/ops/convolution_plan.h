// How a convolution or a data gradient is cut into products (cuda/ops/conv2d.cu), and where scratch memory goes. All of
// it follows from shapes, but for the tile, on which no number depends.
#pragma once

#include <string>

#include "cuda/arguments/conv2d.h"
#include "cuda/kernel.h"
#include "ops/conv2d.h"

namespace diffuse::cuda {

struct ConvolutionPlan {
  // Sizes and lattices; pointers are null.
  ConvolutionArguments sizes;
  int32_t lattices;
  bool data_gradient;
  bool patches;            // the source is read by patches (cuda/gemm/convolution_patch.h)
  bool fused;              // and what it stands for is worked out there; else a copy of it, if it is one of another
  int32_t padded_outputs;  // rows of packed weights
  int32_t tap_step;
  // Of scratch memory, from its beginning: the source as it is multiplied, packed weights, statistics of segments.
  size_t source, weights, segments, bytes;
};

// From `source`, which may stand for another, to `to`; takes statistics of `numbers` (3, 2 or 0) a channel. `scalar`:
// without the matrix unit.
ConvolutionPlan plan_convolution(const char* kernel, const Conv2dShape& shape, bool data_gradient, bool scalar,
                                 const Tensor& source, bool stands_for_another, const Tensor& to, int64_t numbers);

struct NamedTile {
  const char* name;
  ConvolutionTile tile;
};
// That with which a GPU is expected to be done first. `scalar`: without its matrix unit.
NamedTile best_tile(const ConvolutionPlan& plan, const Limits& limits, bool scalar);

int32_t shared_bytes_of(const ConvolutionPlan& plan, const ConvolutionTile& tile);

// Blocks of the largest lattice, by lattices.
Grid grid_of(const ConvolutionPlan& plan, const ConvolutionTile& tile);

}  // namespace diffuse::cuda
