// A convolution whose outputs have the grid of its source: all taps of a tile of outputs read one patch of the source,
// shifted by a pixel or a row. The patch of a chunk of channels lies in shared memory once for all of them: the L2
// cache delivers it once instead of nine times, and what the source stands for (ops/conv2d.h) is worked out there,
// which takes (tile + halo) / tile exponentials a number instead of nine.
//
// A patch is a range of rows of the product, numbered as the tile's are: eight neighbouring rows are eight neighbouring
// pixels of the patch whatever the image's width, and lie in different banks. Where a tap leaves the image its lanes
// read zeros that lie in the banks of the pixel that they would have read.
#pragma once

#include "gemm/convolution.h"

namespace diffuse::cuda {

// The patches of a block, one vector of 32 pixels at a time ("a part"): fetched while the chunk before it is
// multiplied, and finished by the thread that fetched it, so that no barrier stands between.
template <typename Core>
class SourcePatch {
 public:
  using T = typename Core::T;

  __device__ __forceinline__ SourcePatch(const ConvolutionArguments& arguments, const ConvolutionLattice& lattice,
                                         uint32_t first_row, float* numbers)
      : arguments_(arguments),
        numbers_(numbers),
        gradient_(arguments.normalised.data != nullptr),
        forward_(!arguments.x.data && arguments.norm.mean != nullptr),
        begin_(static_cast<int32_t>(first_row) - arguments.patch.before),
        pixels_(patch_pixels(arguments.patch, Core::kRows)),
        sample_pixels_(static_cast<int32_t>(lattice.pixels.value)) {
    const int32_t last_row = static_cast<int32_t>(first_row) + Core::kRows - 1;
    first_sample_ = divide(static_cast<int32_t>(first_row), arguments.patch.sample_rows).quotient;
    samples_ = min(divide(last_row, arguments.patch.sample_rows).quotient + 1, arguments.patch.samples) - first_sample_;
  }

  __device__ __forceinline__ int32_t parts() const { return (pixels_ + kPixelsAtOnce - 1) / kPixelsAtOnce; }

  // Looks up the numbers of a chunk's channels. Seen by `finish` behind a barrier; zeros where there is no channel, so
  // that zeros stay zeros.
  __device__ __forceinline__ void look_up(int32_t chunk) {
    if (!gradient_ && !forward_) return;
    constexpr int kChannels = kTileDepth<T>;
    const int32_t within = threadIdx.x % kChannels, channel = chunk * kChannels + within;
    const bool exists = channel < arguments_.source_channels;
    // Vectors of a half are neighbours, so that the lanes of a quarter of a warp read different banks.
    const int place = within % kWide<T> / 4 * 16 + within / kWide<T> * 4 + within % 4;
    for (int32_t sample = threadIdx.x / kChannels; sample < samples_; sample += Core::kThreads / kChannels) {
      float found[kPrologueNumbers] = {};
      if (exists && gradient_) {
        const int64_t channels = arguments_.source_channels;
        const float* from = arguments_.coefficients + (first_sample_ + sample) * kPrologueNumbers * channels + channel;
#pragma unroll
        for (int i = 0; i < kPrologueNumbers; i++) found[i] = from[i * channels];
      } else if (exists) {
        const ChannelNorm<1> norm(arguments_.norm, first_sample_ + sample, channel);
        found[0] = norm.mean[0];
        found[1] = norm.scale[0];
        found[2] = norm.beta[0];
      }
      float* to = numbers_ + sample * kPrologueSampleFloats + place;
#pragma unroll
      for (int i = 0; i < kPrologueNumbers; i++) to[i * kPrologueFloats] = found[i];
    }
  }

  // Starts to fetch a part of a chunk.
  __device__ __forceinline__ void fetch(std::byte* patch, int32_t chunk, int32_t part) const {
    const Place place = place_of(part);
    if (place.slot < 0) return;
    const int32_t channel = channel_of(chunk), count = min(arguments_.source_channels - channel, kWide<T>);
    const T* from = static_cast<const T*>(arguments_.source) + place.pixel * arguments_.source_stride + channel;
    std::byte* to = patch + offset_of(part);
    if (arguments_.source_aligned)
      copy_async_part(shared_address(to), count > 0 ? from : static_cast<const T*>(arguments_.source),
                      max(count, 0) * static_cast<int>(sizeof(T)));
    else
      copy_elements(to, from, count);
  }

  // Finishes a part of a chunk that this thread has fetched: what was normalised is loaded on creation, the rest is
  // done in run().
  class Finish {
   public:
    __device__ __forceinline__ Finish(const SourcePatch& patch, std::byte* to, int32_t chunk, int32_t part)
        : patch_(patch), to_(to + patch.offset_of(part)), slot_(-1) {
      if (!patch.gradient_ && !patch.forward_) return;
      const Place place = patch.place_of(part);
      slot_ = place.slot;
      if (!patch.gradient_ || slot_ < 0) return;
      const View& normalised = patch.arguments_.normalised;
      const int32_t channel = patch.channel_of(chunk), count = normalised.channels - channel;
      const T* from = row<const T>(normalised, place.pixel) + channel;
      if (normalised.alignment >= kWide<T> && count > 0) {
        normalised_ = *reinterpret_cast<const Pack<T, kWide<T>>*>(from);
      } else {
#pragma unroll
        for (int k = 0; k < kWide<T>; k++) normalised_.elements[k] = k < count ? from[k] : from_float<T>(0);
      }
    }

    __device__ __forceinline__ void run() const {
      if (slot_ < 0) return;
      const float4* numbers =
          reinterpret_cast<const float4*>(patch_.numbers_ + slot_ * kPrologueSampleFloats) + threadIdx.x % kTileVectors;
      T* const to = reinterpret_cast<T*>(to_);
      float values[kWide<T>];
      load(values, to);
#pragma unroll
      for (int half = 0; half < kWide<T> / 4; half++) {
        float own[kPrologueNumbers][4];
#pragma unroll
        for (int i = 0; i < kPrologueNumbers; i++)
          load(own[i], reinterpret_cast<const float*>(numbers + i * kPrologueFloats / 4 + half * kTileVectors));
#pragma unroll
        for (int e = 0; e < 4; e++) {
          float& value = values[half * 4 + e];
          if (patch_.gradient_)
            value = normalised_gradient(value, to_float(normalised_.elements[half * 4 + e]), own[0][e], own[1][e],
                                        own[2][e], own[3][e]);
          else
            value = normalised(value, own[0][e], own[1][e], own[2][e]);
        }
      }
      if (patch_.forward_ && patch_.arguments_.silu) {
#pragma unroll
        for (int k = 0; k < kWide<T>; k++) values[k] = silu<T>(values[k]);
      }
      store(to, values);
    }

   private:
    const SourcePatch& patch_;
    std::byte* to_;
    int32_t slot_;
    Pack<T, kWide<T>> normalised_;
  };

 private:
  static constexpr int kPixelsAtOnce = Core::kThreads / kTileVectors;
  static_assert(kPixelsAtOnce % 8 == 0, "one swizzle serves all parts of a thread");

  // This thread's pixel of a part, and its sample, counted from the tile's first; -1 where there is none or no tap
  // reads it.
  struct Place {
    int64_t pixel;
    int32_t slot;
  };
  __device__ __forceinline__ Place place_of(int32_t part) const {
    const int32_t number = part * kPixelsAtOnce + threadIdx.x / kTileVectors;
    const Quotient at = divide(max(begin_ + number, 0), arguments_.patch.sample_rows);
    const int32_t slot = at.quotient - first_sample_;
    const bool exists = number < pixels_ && begin_ + number >= 0 && at.remainder < sample_pixels_ && slot < samples_;
    return {static_cast<int64_t>(at.quotient) * sample_pixels_ + at.remainder, exists ? slot : -1};
  }
  __device__ __forceinline__ static int32_t channel_of(int32_t chunk) {
    return chunk * kTileDepth<T> + threadIdx.x % kTileVectors * kWide<T>;
  }
  __device__ __forceinline__ static uint32_t offset_of(int32_t part) {
    return tile_offset(threadIdx.x / kTileVectors, threadIdx.x % kTileVectors) + part * kPixelsAtOnce * kTileRowBytes;
  }

  const ConvolutionArguments& arguments_;
  float* const numbers_;
  const bool gradient_, forward_;
  const int32_t begin_, pixels_, sample_pixels_;
  int32_t first_sample_, samples_;
};

// Where the rows of a warp's tiles lie in a patch.
template <typename Core>
class PatchRows {
 public:
  __device__ __forceinline__ PatchRows(const ConvolutionArguments& arguments, const ConvolutionLattice& lattice,
                                       uint32_t first_row)
      : row_(Core::first_row() + threadIdx.x % kWarp % 16 + arguments.patch.before +
             lattice.source_row * arguments.source_columns + lattice.source_column) {
#pragma unroll
    for (int i = 0; i < Core::kHeight; i++) {
      const OutputPixel pixel =
          locate(arguments, lattice, first_row + Core::first_row() + i * 16 + threadIdx.x % kWarp % 16);
      inside_[i] = 0;
      for (int32_t a = 0, tap = 0; a < lattice.window_rows; a++)
        for (int32_t b = 0; b < lattice.window_columns; b++, tap++) {
          const uint32_t row = pixel.row + lattice.source_row + a, column = pixel.column + lattice.source_column + b;
          if (pixel.sample >= 0 && row < static_cast<uint32_t>(arguments.source_rows) &&
              column < static_cast<uint32_t>(arguments.source_columns))
            inside_[i] |= 1u << tap;
        }
    }
  }

  // Those of the current tap, for MatrixCore::multiply_rows.
  __device__ __forceinline__ auto of_tap(uint32_t patch, uint32_t zeros, int32_t tap, int32_t shift) const {
    const uint32_t address = patch + tile_offset(row_ + shift, threadIdx.x % kWarp / 16);
    const uint32_t zero = zeros + (address % kZeroBytes);
    return [this, address, zero, tap](int i, int step) {
      const bool inside = inside_[i] >> tap & 1;
      return (inside ? address + i * 16 * kTileRowBytes : zero) ^ (step * kVectorBytes);
    };
  }

 private:
  const int32_t row_;  // of its first 16 rows, as the first tap reads it
  uint32_t inside_[Core::kHeight];
};

// One tile of outputs, chunk by chunk of channels, tap by tap. While a tap is multiplied, the weights of the next
// Stages - 1 are on their way, a part of the next chunk's patch is, and the part that came before it is finished:
// 8 numbers of a thread between the 64 mma of a warp, whose multiprocessor has time for both.
template <typename Core, int Stages>
__device__ __forceinline__ void convolve_patches(const ConvolutionArguments& arguments) {
  extern __shared__ __align__(128) std::byte shared[];
  using T = typename Core::T;
  constexpr int kStageBytes = Core::kColumns * kTileRowBytes;
  const ConvolutionLattice& lattice = arguments.lattice[0];
  const uint32_t columns = (arguments.to.channels + Core::kColumns - 1) / Core::kColumns;
  const uint32_t first_row = blockIdx.x / columns * Core::kRows, first_column = blockIdx.x % columns * Core::kColumns;
  const int32_t patch_bytes = patch_pixels(arguments.patch, Core::kRows) * kTileRowBytes;
  std::byte* const ring = shared + 2 * patch_bytes;
  std::byte* const zeros = ring + Stages * kStageBytes;

  Core core;
  {
    SourcePatch<Core> patch(arguments, lattice, first_row, reinterpret_cast<float*>(zeros + kZeroBytes));
    WeightLoader<Core> weights(arguments, lattice, first_column);
    const PatchRows<Core> rows(arguments, lattice, first_row);
    const int32_t chunks = arguments.padded_channels / kTileDepth<T>, parts = patch.parts();
    __builtin_assume(chunks > 0);
    const int32_t taps = lattice.window_rows * lattice.window_columns;
    int32_t fetched_chunk = 0, fetched_tap = 0;
    // Of a chunk all taps follow each other, in whose weights lie those of all other channels.
    const auto fetch_weights = [&](int32_t stage) {
      if (fetched_chunk == chunks) return;
      const bool last = ++fetched_tap == taps;
      weights.fetch(ring + stage * kStageBytes,
                    last ? kTileDepth<T> - (taps - 1) * arguments.padded_channels : arguments.padded_channels);
      if (last) fetched_tap = 0, fetched_chunk++;
    };

    for (int32_t part = 0; part < parts; part++) patch.fetch(shared, 0, part);
#pragma unroll
    for (int32_t stage = 0; stage < Stages - 1; stage++) fetch_weights(stage);
    end_copies();
    patch.look_up(0);
    if (threadIdx.x < kZeroBytes / sizeof(uint32_t)) reinterpret_cast<uint32_t*>(zeros)[threadIdx.x] = 0;
    wait_for_copies<0>();
    __syncthreads();
    for (int32_t part = 0; part < parts; part++) typename SourcePatch<Core>::Finish(patch, shared, 0, part).run();

    int32_t stage = 0, next = Stages - 1, tap = 0, tap_column = 0, shift = 0;
    for (int32_t chunk = 0; chunk < chunks;) {
      // Behind the weights that are multiplied now, those of Stages - 2 taps and Stages - 1 parts may be under way.
      wait_for_copies<2 * Stages - 3>();
      // Everybody's copies have arrived, and nobody reads any more what is overwritten next.
      __syncthreads();
      std::byte* const current = shared + chunk % 2 * patch_bytes;
      std::byte* const following = shared + (chunk + 1) % 2 * patch_bytes;
      const bool follows = chunk + 1 < chunks;
      fetch_weights(next);
      end_copies();
      if (follows && tap < parts) patch.fetch(following, chunk + 1, tap);
      end_copies();
      if (follows && tap == 0) patch.look_up(chunk + 1);
      const bool finishes = follows && tap > 0 && tap <= parts;
      // A part that does not exist has no pixels.
      const typename SourcePatch<Core>::Finish finish(patch, following, chunk + 1, finishes ? tap - 1 : parts);
      core.multiply_rows(rows.of_tap(shared_address(current), shared_address(zeros), tap, shift),
                         ring + stage * kStageBytes);
      // All but the youngest weights and part.
      wait_for_copies<2>();
      finish.run();

      stage = stage + 1 == Stages ? 0 : stage + 1;
      next = next + 1 == Stages ? 0 : next + 1;
      shift++;
      if (++tap_column == lattice.window_columns) {
        tap_column = 0;
        shift += arguments.source_columns - lattice.window_columns;
      }
      if (++tap == taps) tap = shift = 0, chunk++;
    }
  }
  write_outputs(core, arguments, lattice, first_row, first_column, shared);
}

}  // namespace diffuse::cuda
