// Arguments of cuda/ops/conv2d_weight_gradient.cu; the sizes are those of ops/conv2d.h.
#pragma once

#include "cuda/arguments/divisor.h"
#include "cuda/arguments/norm.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// Tiles: so many rows (channels of x at all taps) by a wide or narrow stretch of channels of dy. A stage of a tile's
// operands is so many bytes of every row and column: 32 pixels of bf16, 16 of float32.
constexpr int kWeightGradientRows = 128;
constexpr int kWeightGradientWide = 128;
constexpr int kWeightGradientNarrow = 64;
constexpr int kWeightGradientStages = 3;
constexpr int kWeightGradientStageBytes = 64;
constexpr int kWeightGradientThreads = 256;
constexpr int kWeightGradientSumThreads = 128;

// With patches (cuda/gemm/weight_gradient_patch.h) rows are so many channels of x at nine taps, and a step has so many
// pixels. x lies in a ring of lines, a power of two of them; taps outside of the image read zeros, every bank once.
constexpr int kWeightGradientPatchTaps = 9;
constexpr int kWeightGradientPatchChannels = 16;
constexpr int kWeightGradientPatchLines = 32;
constexpr int kWeightGradientPatchThreads = 128;
constexpr int kWeightGradientZeroBytes = 128;

// Images whose rows begin at multiples of 16 bytes. A slice of channels that begins between two of them is taken from
// the one before it on, with `skipped` channels in front that belong to others.
struct AlignedImage {
  const void* data;
  int32_t row_bytes;
  int32_t channels;  // with those skipped
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
  // With patches.
  int32_t ring_lines;
  int32_t silu;           // behind `norm`
  NormArguments norm;     // that x goes through; null where it is read as it is
  Divisor sample_pixels;  // of x
};

// Sums over splits.
struct Conv2dWeightGradientSumArguments {
  const float *dweight_parts, *dbias_parts;  // [splits][weights], [splits][channels]
  float *dweight, *dbias;
  int64_t weights;
  int32_t channels;  // 0 without dbias
  int32_t splits;
};

}  // namespace diffuse::cuda
