// A convolution as a product: pixels of the outputs x depth by depth x channels of the outputs, where depth is the taps
// of the window times the channels of the source. The left operand is never built: each thread fetches its vectors of
// it from the pixels that the taps read.
#pragma once

#include "gemm/convolution_outputs.h"

namespace diffuse::cuda {

// Fetches a block's tiles of weights (conv2d_pack). Every thread has one of the four vectors of some columns.
template <typename Core>
class WeightLoader {
 public:
  using T = typename Core::T;

  __device__ __forceinline__ WeightLoader(const ConvolutionArguments& arguments, const ConvolutionLattice& lattice,
                                          uint32_t first_column) {
    const int column = threadIdx.x / kTileVectors, vector = threadIdx.x % kTileVectors;
    to_ = tile_offset(column, vector);
    weights_ = static_cast<const T*>(arguments.weights) + lattice.first_weight +
               static_cast<int64_t>(first_column + column) * lattice.depth + vector * kWide<T>;
    step_ = static_cast<int64_t>(kColumnsAtOnce) * lattice.depth;
  }

  // Starts to fetch a tile; the next one begins `depth` elements further down.
  __device__ __forceinline__ void fetch(std::byte* columns, int32_t depth) {
#pragma unroll
    for (int i = 0; i < kCopies; i++)
      if (Core::kColumns % kColumnsAtOnce == 0 || threadIdx.x / kTileVectors < Core::kColumns)
        copy_async(shared_address(columns) + to_ + i * kColumnsAtOnce * kTileRowBytes, weights_ + i * step_);
    weights_ += depth;
  }

 private:
  static constexpr int kColumnsAtOnce = Core::kThreads / kTileVectors;
  static constexpr int kCopies = (Core::kColumns + kColumnsAtOnce - 1) / kColumnsAtOnce;
  static_assert(kColumnsAtOnce % 8 == 0, "one swizzle serves all copies of a thread");

  uint32_t to_;
  const T* weights_;
  int64_t step_;
};

// A vector that is not aligned; zeros behind `count` elements.
template <typename T>
__device__ __forceinline__ void copy_elements(std::byte* to, const T* from, int count) {
  Pack<T, kWide<T>> pack;
#pragma unroll
  for (int i = 0; i < kWide<T>; i++) pack.elements[i] = i < count ? from[i] : from_float<T>(0);
  *reinterpret_cast<Pack<T, kWide<T>>*>(to) = pack;
}

// Fetches a block's tiles. Every thread has one of the four vectors of some rows and columns.
template <typename Core>
class ConvolutionLoader {
 public:
  using T = typename Core::T;

  __device__ __forceinline__ ConvolutionLoader(const ConvolutionArguments& arguments, const ConvolutionLattice& lattice,
                                               uint32_t first_row, uint32_t first_column)
      : arguments_(arguments),
        window_(lattice.window_columns),
        window_rows_(lattice.window_rows),
        weights_(arguments, lattice, first_column) {
    const int row = threadIdx.x / kTileVectors, vector = threadIdx.x % kTileVectors;
    to_ = tile_offset(row, vector);
#pragma unroll
    for (int i = 0; i < kRowCopies; i++) {
      const OutputPixel pixel = locate(arguments, lattice, first_row + row + i * kRowsAtOnce);
      // Rows of pixels that do not exist lie outside of the image under every tap.
      y_[i] = pixel.sample < 0 ? kOutside : pixel.row * arguments.source_step + lattice.source_row;
      x_[i] = pixel.column * arguments.source_step + lattice.source_column;
      const int64_t seen =
          (static_cast<int64_t>(pixel.sample) * arguments.source_rows + y_[i]) * arguments.source_columns + x_[i];
      offset_[i] = seen * arguments.source_stride;
    }
    channel_ = vector * kWide<T>;
    wrap();
  }

  // Starts to fetch the next tiles, as deep as a row of a tile.
  __device__ __forceinline__ void fetch(std::byte* rows, std::byte* columns) {
    const T* source = static_cast<const T*>(arguments_.source);
    // Channels that fill up the last vector of a tap are not read, and become zeros.
    const int count = min(arguments_.source_channels - channel_, kWide<T>);
    const int64_t tap = static_cast<int64_t>(tap_row_) * arguments_.source_columns + tap_column_;
    const int64_t beyond = tap * arguments_.source_stride + channel_;
#pragma unroll
    for (int i = 0; i < kRowCopies; i++) {
      const bool inside = tap_row_ < window_rows_ &&
                          static_cast<uint32_t>(y_[i] + tap_row_) < static_cast<uint32_t>(arguments_.source_rows) &&
                          static_cast<uint32_t>(x_[i] + tap_column_) < static_cast<uint32_t>(arguments_.source_columns);
      const T* from = inside ? source + offset_[i] + beyond : source;
      const uint32_t to = to_ + i * kRowsAtOnce * kTileRowBytes;
      if (arguments_.source_aligned)
        copy_async_part(shared_address(rows) + to, from, inside ? count * static_cast<int>(sizeof(T)) : 0);
      else
        copy_elements(rows + to, from, inside ? count : 0);
    }
    weights_.fetch(columns, kTileDepth<T>);
    channel_ += kTileDepth<T>;
    wrap();
  }

 private:
  static constexpr int kRowsAtOnce = Core::kThreads / kTileVectors;
  static constexpr int kRowCopies = Core::kRows / kRowsAtOnce;
  static constexpr int kOutside = -(1 << 30);
  static_assert(Core::kRows % kRowsAtOnce == 0 && kRowsAtOnce % 8 == 0, "one swizzle serves all copies of a thread");

  // From the channels behind a pixel to those of the next tap.
  __device__ __forceinline__ void wrap() {
    while (channel_ >= arguments_.padded_channels) {
      channel_ -= arguments_.padded_channels;
      if (++tap_column_ < window_) continue;
      tap_column_ = 0;
      tap_row_++;
    }
  }

  const ConvolutionArguments& arguments_;
  const int32_t window_, window_rows_;
  uint32_t to_;
  int32_t y_[kRowCopies], x_[kRowCopies];
  int64_t offset_[kRowCopies];  // of the pixel that the first tap reads
  WeightLoader<Core> weights_;
  int32_t channel_, tap_row_ = 0, tap_column_ = 0;
};

// One tile of outputs. Blocks of one row of tiles are neighbours, so that a source is read from memory once and from
// the L2 cache by the others. While a tile is multiplied, Stages - 1 are on their way.
template <typename Core, int Stages>
__device__ __forceinline__ void convolve(const ConvolutionArguments& arguments) {
  extern __shared__ __align__(128) std::byte shared[];
  constexpr int kRowBytes = Core::kRows * kTileRowBytes, kStageBytes = kRowBytes + Core::kColumns * kTileRowBytes;
  const ConvolutionLattice& lattice = arguments.lattice[blockIdx.y];
  const uint32_t columns = (arguments.to.channels + Core::kColumns - 1) / Core::kColumns;
  const uint32_t first_row = blockIdx.x / columns * Core::kRows, first_column = blockIdx.x % columns * Core::kColumns;
  if (first_row >= static_cast<uint32_t>(arguments.groups) * lattice.padded_pixels.value) return;

  Core core;
  {
    ConvolutionLoader<Core> loader(arguments, lattice, first_row, first_column);
    const int32_t steps = lattice.depth / kTileDepth<typename Core::T>;
    __builtin_assume(steps > 0);
#pragma unroll
    for (int stage = 0; stage < Stages - 1; stage++) {
      if (stage < steps) loader.fetch(shared + stage * kStageBytes, shared + stage * kStageBytes + kRowBytes);
      end_copies();
    }
    int32_t stage = 0, next = Stages - 1;
    for (int32_t step = 0; step < steps; step++) {
      wait_for_copies<Stages - 2>();
      // Everybody's copies have arrived, and nobody reads the tiles any more that are overwritten next.
      __syncthreads();
      if (step + Stages - 1 < steps) loader.fetch(shared + next * kStageBytes, shared + next * kStageBytes + kRowBytes);
      end_copies();
      core.multiply(shared + stage * kStageBytes, shared + stage * kStageBytes + kRowBytes);
      stage = stage + 1 == Stages ? 0 : stage + 1;
      next = next + 1 == Stages ? 0 : next + 1;
    }
  }
  write_outputs(core, arguments, lattice, first_row, first_column, shared);
}

}  // namespace diffuse::cuda
