// Arguments of the kernels of convolutions (cuda/ops/conv2d*.cu). ops/conv2d.h has the formulas and the legend.
//
// Images are multiplied as they lie in memory where they can be: plain, their channels a multiple of 128 bits. Else
// conv2d_prepare makes such an image of them first, normalised and padded with zeros.
#pragma once

#include "cuda/arguments/norm.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// What an image of a call stands for.
enum class Reading : int32_t { plain, normalised, normalised_silu, gradient };

// conv2d_prepare: the image that `from` stands for, contiguous rows of padded_channels.
struct PrepareImageArguments {
  View from;
  View second;                // gradient: the image that was normalised
  const float* coefficients;  // gradient: [N, 4, channels]
  NormArguments norm;         // normalised
  void* to;
  int64_t samples;
  int32_t pixels;           // of a sample
  int32_t padded_channels;  // a multiple of as many as 128 bits hold
  Reading reading;
};

// One of the grids of pixels that a convolution's outputs consist of: all of them, or, where a data gradient has
// stride 2, those of one parity of rows and columns, which see every second tap of the window. Taps are numbered in
// the order of the pixels that they read.
struct ConvolutionLattice {
  int32_t first_row, first_column;      // of the outputs, whose steps are output_step
  int32_t rows, columns;                // how many of them
  int32_t window_rows, window_columns;  // taps, maybe none
  int32_t source_row, source_column;    // what the first tap of the first output reads
  int32_t weight_row, weight_column;    // where the first tap stands in the weights
  int32_t depth;                        // taps * channels, rounded up to the depth of a tile
  int32_t padded_pixels;                // of a group, rounded up to units
  int32_t chunk_pixels;                 // outputs of this lattice in a chunk of 4 rows
  int32_t first_segment;                // of this lattice within a sample
  int64_t first_weight;                 // of this lattice in the packed weights
};

constexpr int kConvolutionLattices = 4;
constexpr int kConvolutionChunkRows = 4;

// conv2d_pack: float32 weights [kh, kw, C, K] as rows of `depth` elements, one a channel of the outputs: tap by tap
// the channels of the source. Zeros fill both up to whole tiles.
struct PackWeightsArguments {
  View weight;
  void* to;
  int32_t window_columns;   // of the weights
  int32_t channels;         // C
  int32_t source_channels;  // of a pixel of the source, padded
  int32_t output_channels;  // rows that exist
  int32_t padded_outputs;   // rows that are written
  int32_t tap_step;         // 1, or -1 and -2 where the window is flipped
  int32_t transposed;       // data gradient: sources are K, outputs are C
  int32_t tf32;             // rounded to tf32
  int32_t lattices;
  ConvolutionLattice lattice[kConvolutionLattices];
};

// conv2d_wide, _square and _narrow: a convolution as a product of pixels x depth by depth x channels.
struct ConvolutionArguments {
  const void* source;
  int64_t source_stride;
  int32_t source_rows, source_columns, source_channels;
  int32_t source_step;  // pixels from what one output reads to what the next does
  const void* weights;  // of conv2d_pack
  // Pixels are numbered through groups: samples where statistics are taken, else all samples together.
  int32_t samples;
  int32_t groups, samples_of_group;
  int32_t unit_pixels;  // a power of two up to 64; statistics are taken of what a chunk and a unit have in common
  int32_t output_step;
  int32_t lattices;
  ConvolutionLattice lattice[kConvolutionLattices];
  // Outputs.
  View to;
  int32_t output_rows, output_columns;
  int32_t wide;  // all images of outputs have rows of whole 128 bits
  const float* bias;
  View shift;  // [N, K]
  View residual;
  View x;  // through the normalisation of which the outputs go backward
  NormArguments norm;
  int32_t silu;
  // [samples, segments, 3 or 2, channels]: moments or, with x, sums of every segment. Null: none are taken.
  float* segments;
  int32_t segments_of_sample;
};

// conv2d_merge: moments or sums of chunks from those of segments. The segment that unit u and chunk q of a lattice have
// in common has number first_segment + u + q.
struct MergeSegmentsArguments {
  const float* segments;
  View to;  // [N, Q, 3 or 2, channels]
  int32_t samples, chunks, channels, segments_of_sample;
  int32_t unit_pixels;
  int32_t sums;  // two sums, not moments
  int32_t lattices;
  ConvolutionLattice lattice[kConvolutionLattices];
};

// The weight gradient: rows are taps and channels of x, columns are channels of dy, depth is pixels of dy. Both images
// are aligned to 128 bits (conv2d_prepare). Sums over each part of the pixels are written, then added in their order.
struct WeightGradientArguments {
  const void *x, *dy;
  int64_t x_stride, dy_stride;
  int32_t samples, rows, columns, channels;              // of x
  int32_t output_rows, output_columns, output_channels;  // of dy
  int32_t window_rows, window_columns, stride, pad_top, pad_left;
  int64_t pixels_of_part;
  int32_t parts;
  float* sums;       // [parts, kh * kw * C, K]
  float* bias_sums;  // [parts, K] or null
};

struct AddPartsArguments {
  const float* sums;
  float* to;
  int64_t count;  // of a part
  int32_t parts;
};

}  // namespace diffuse::cuda
