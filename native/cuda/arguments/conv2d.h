// Arguments of the kernels of convolutions (cuda/ops/conv2d*.cu). ops/conv2d.h has the formulas and the legend.
#pragma once

#include "cuda/arguments/divisor.h"
#include "cuda/arguments/norm.h"
#include "cuda/arguments/view.h"

namespace diffuse::cuda {

// No struct here has bytes between its members (native/cuda/kernel.h).

// One of the grids of pixels that a convolution's outputs consist of: all of them, or, where a data gradient has
// stride 2, those of one parity of rows and columns, which see every second tap of the window. Taps are numbered in
// the order of the pixels that they read.
struct ConvolutionLattice {
  int32_t first_row, first_column;      // of the outputs, whose steps are output_step
  Divisor columns;                      // how many of them in a row
  Divisor pixels;                       // in all
  int32_t window_rows, window_columns;  // taps, maybe none
  int32_t source_row, source_column;    // what the first tap of the first output reads
  int32_t weight_row, weight_column;    // where the first tap stands in the weights
  int32_t depth;                        // taps * channels, rounded up to the depth of a tile
  Divisor padded_pixels;                // of a group, rounded up to units
  Divisor chunk_pixels;                 // outputs of this lattice in a chunk of 4 rows
  int32_t first_segment;                // of this lattice within a sample
  int64_t first_weight;                 // of this lattice in the packed weights
};

constexpr int kConvolutionLattices = 4;
// Threads of conv2d_pack and conv2d_merge; conv2d_pack has square tiles of so many weights.
constexpr int kPassThreads = 256;
constexpr int kPackTile = 32;
// What a step takes of every row and column of a tile.
constexpr int kTileRowBytes = 64;

// conv2d_pack: float32 weights [kh, kw, C, K] as rows of `depth` elements, one a channel of the outputs: tap by tap
// the channels of the source. Zeros fill both up; rows are written by whole tiles.
struct PackWeightsArguments {
  View weight;
  void* to;
  int32_t window_columns;   // of the weights
  int32_t channels;         // C
  int32_t padded_channels;  // of the source, to whole 128 bits
  int32_t tap_step;         // 1, or -1 and -2 where the window is flipped
  int32_t data_gradient;    // sources are K, outputs are C
  int32_t tf32;             // rounded to tf32
  ConvolutionLattice lattice[kConvolutionLattices];
};

// The tile of outputs that a block computes, its threads, and the stages of the ring of operands in shared memory.
struct ConvolutionTile {
  int32_t rows, columns, threads, stages;
};
constexpr ConvolutionTile kWideMatrixTile{128, 128, 128, 3}, kWideScalarTile{128, 64, 128, 3};
constexpr ConvolutionTile kSquareTile{64, 64, 128, 4}, kNarrowTile{128, 16, 128, 3};
// Of those that read patches, the stages of weights alone.
constexpr ConvolutionTile kWidePatchTile{128, 128, 128, 2}, kSquarePatchTile{64, 64, 128, 3},
    kNarrowPatchTile{128, 16, 128, 3};

// Rows of a tile that are finished at a time, and the most pixels of a unit.
constexpr int kFinishedRows = 64;
// Sums in shared memory have rows that end 8 floats, a quarter of its banks, behind the next multiple of them.
constexpr int output_pitch(int columns) { return columns + 8; }
// Where an output is written, and the segment that its channels' statistics belong to; sample is -1 where there is
// none.
struct OutputPlace {
  int32_t pixel, sample, segment;
};
// Of a block, while it finishes outputs in the place of what it multiplied.
constexpr int32_t output_bytes(ConvolutionTile tile) {
  return kFinishedRows * static_cast<int32_t>(output_pitch(tile.columns) * sizeof(float) + sizeof(OutputPlace));
}
// Of a block with a ring of both operands.
constexpr int32_t shared_bytes(ConvolutionTile tile) {
  const int32_t ring = tile.stages * (tile.rows + tile.columns) * kTileRowBytes;
  return ring > output_bytes(tile) ? ring : output_bytes(tile);
}

// Where outputs have the grid of the source, their taps read the same pixels but for a shift: rows of the product are
// numbers of source pixels too, and all that a tile reads is a patch of the rows `before` its first to `after` its
// last (gemm/convolution_patch.h).
struct ConvolutionPatch {
  int32_t before, after;
  int32_t samples;      // N
  Divisor sample_rows;  // from one sample to the next
};
// The numbers of a channel that its pixels go through (mean, scale, beta, or four coefficients), of a chunk of channels
// and a sample; samples are half of the banks apart.
constexpr int kPrologueNumbers = 4;
constexpr int kPrologueFloats = kTileRowBytes / 2;  // of a number: as many as a chunk of bf16 has channels
constexpr int kPrologueSampleFloats = kPrologueNumbers * kPrologueFloats + 16;
// What lanes read whose tap lies outside of the image: every bank once.
constexpr int kZeroBytes = 128;
constexpr int32_t patch_pixels(const ConvolutionPatch& patch, int32_t rows) {
  return (rows + patch.before + patch.after + 1) / 2 * 2;
}
// Of a tile, at most.
constexpr int32_t patch_samples(const ConvolutionPatch& patch, int32_t rows) {
  const int32_t sample = static_cast<int32_t>(patch.sample_rows.value);
  return sample % rows == 0 ? 1 : rows % sample == 0 ? rows / sample : (rows - 2) / sample + 2;
}
// Of a block: the patches of two chunks of channels, weights, zeros, numbers.
constexpr int32_t shared_bytes(ConvolutionTile tile, const ConvolutionPatch& patch) {
  const int32_t operands = (2 * patch_pixels(patch, tile.rows) + tile.stages * tile.columns) * kTileRowBytes;
  const int32_t numbers = patch_samples(patch, tile.rows) * kPrologueSampleFloats * static_cast<int32_t>(sizeof(float));
  const int32_t all = operands + kZeroBytes + numbers;
  return all > output_bytes(tile) ? all : output_bytes(tile);
}

// conv2d_wide, _square and _narrow, with or without patches: a convolution as a product of pixels x depth by depth x
// channels.
struct ConvolutionArguments {
  // An image whose rows begin at multiples of 16 bytes or, where it is not aligned, all as far behind one.
  const void* source;
  int64_t source_stride;
  int32_t source_aligned;
  int32_t source_rows, source_columns, source_channels;
  int32_t padded_channels;  // of the source, to whole 128 bits
  int32_t source_step;      // pixels from what one output reads to what the next does
  // Pixels are numbered through groups: samples where statistics are taken, else all samples together.
  int32_t groups, samples_of_group;
  int32_t unit_pixels;  // a power of two up to 64; statistics are taken of what a chunk and a unit have in common
  int32_t output_step;
  const void* weights;  // of conv2d_pack
  ConvolutionPatch patch;
  // What the source stands for, where patches are normalised: with `normalised` the gradient of its normalisation, by
  // coefficients [N, 4, channels]; else with `norm` and without x its normalisation.
  View normalised;
  const float* coefficients;
  ConvolutionLattice lattice[kConvolutionLattices];
  // Outputs.
  View to;
  int32_t output_rows, output_columns;
  int32_t wide;  // all images of outputs have rows of whole 128 bits
  int32_t silu;  // behind `norm`
  const float* bias;
  View shift;  // [N, K]
  View residual;
  View x;  // through the normalisation of which the outputs go backward
  NormArguments norm;
  // [samples, segments, 3 or 2, channels]: moments or, with x, sums of every segment. Null: none are taken.
  float* segments;
  int64_t segments_stride;  // from one row of channels to the next
  int32_t segments_of_sample;
  int32_t chunks_are_segments;  // each of them lies within a unit: segments have their numbers
};

// conv2d_merge: moments or sums of chunks from those of segments. The segment that unit u and chunk q of a lattice have
// in common has number first_segment + u + q.
struct MergeSegmentsArguments {
  const float* segments;
  View to;  // [N, Q, 3 or 2, channels]
  int32_t samples, chunks, segments_of_sample;
  int32_t unit_pixels;
  int32_t sums;  // two sums, not moments
  int32_t lattices;
  ConvolutionLattice lattice[kConvolutionLattices];
};

}  // namespace diffuse::cuda
