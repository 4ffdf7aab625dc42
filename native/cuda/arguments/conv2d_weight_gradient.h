// Arguments of cuda/ops/conv2d_weight_gradient.cu; the sizes are those of ops/conv2d.h.
#pragma once

#include "cuda/arguments/divisor.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// Images whose rows begin at multiples of 16 bytes. A slice of channels that begins between two of them is taken from
// the one before it on, with `skipped` channels in front that belong to others.
struct AlignedImage {
  const void* data;
  int64_t row_stride;  // in elements
  int32_t channels;    // with those skipped
  int32_t skipped;
};

struct Conv2dWeightGradientArguments {
  AlignedImage x, dy;
  float* dweight;  // [splits][taps][C][K]
  float* dbias;    // [splits][K], or null
  Divisor output_height, output_width;
  Divisor padded_channels;  // of x, to whole chunks of 16 bytes
  Divisor kernel_width;
  int32_t taps, stride, pad_top, pad_left;
  int32_t height, width;  // of x
  int32_t pixels;         // of dy
  int32_t split_pixels;   // of them a split sums; a multiple of 32
};

struct Conv2dWeightGradientSumArguments {
  const float *dweight_parts, *dbias_parts;  // [splits][weights], [splits][channels]
  float *dweight, *dbias;
  int64_t weights;
  int32_t channels;  // 0 without dbias
  int32_t splits;
};

}  // namespace diffuse::cuda
