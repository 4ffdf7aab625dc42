// The gradient of weights of 3 x 3 whose outputs have the grid of the source. A block has all nine taps of 16 channels
// of x: they see the same pixels, shifted by one or by a row, so that a ring of the last rows serves all of them. A
// pixel comes from L2 once instead of nine times, and what x stands for (ops/conv2d.h) is worked out once: two
// operations of the special functions for 1152 multiply-adds.
#pragma once

#include "common/normalise.h"
#include "common/silu.h"
#include "gemm/divide.h"
#include "gemm/weight_gradient_tile.h"

namespace diffuse::cuda {

// The pixels of 16 channels of x that a split sees, 32 a part, from the row and the pixel before its first on. A part
// is fetched and finished by the same two warps, so that no barrier stands between.
class PixelRing {
 public:
  using T = bf16;

  __device__ __forceinline__ PixelRing(const Conv2dWeightGradientArguments& arguments, std::byte* memory, int begin,
                                       int end)
      : arguments_(arguments),
        memory_(memory),
        bytes_(arguments.ring_lines * kLineBytes),
        first_(begin - static_cast<int>(arguments.output_width.value) - 1),
        end_(min(arguments.pixels, end + static_cast<int>(arguments.output_width.value) + 1)),
        channel_(blockIdx.x * kWeightGradientPatchChannels + threadIdx.x % kVectors * kWide<T>),
        copied_bytes_(min(max(arguments.x.channels - channel_, 0) * static_cast<int>(sizeof(T)), 16)) {}

  // Parts that the first step sees besides its own pixels.
  __device__ __forceinline__ int halo() const {
    return (2 * (static_cast<int>(arguments_.output_width.value) + 1) + kWeightGradientPatchLines - 1) /
           kWeightGradientPatchLines;
  }

  __device__ __forceinline__ void fetch(int part) const {
    const int pixel = first_ + line_of(part);
    if (threadIdx.x >= kThreads || pixel < 0 || pixel >= end_) return;
    const std::byte* from = static_cast<const std::byte*>(arguments_.x.data) + channel_ * static_cast<int>(sizeof(T)) +
                            static_cast<int64_t>(pixel) * arguments_.x.row_bytes;
    copy_async_part(shared_address(memory_ + place(line_of(part) * kLineBytes, threadIdx.x % kVectors)), from,
                    copied_bytes_);
  }

  // Of a part that has arrived.
  __device__ __forceinline__ void finish(int part) {
    const int pixel = first_ + line_of(part);
    if (!arguments_.norm.mean || threadIdx.x >= kThreads || pixel < 0 || pixel >= end_) return;
    const int sample = divide(pixel, arguments_.sample_pixels).quotient;
    if (sample != sample_) begin_sample(sample);
    T* const to = reinterpret_cast<T*>(memory_ + place(line_of(part) * kLineBytes, threadIdx.x % kVectors));
    float values[kWide<T>];
    load(values, to);
#pragma unroll
    for (int k = 0; k < kWide<T>; k++) {
      values[k] = normalised(values[k], mean_[k], scale_[k], beta_[k]);
      if (arguments_.silu) values[k] = silu<T>(values[k]);
    }
    store(to, values);
  }

  // Where vector `vector` of a line lies that begins `bytes` behind the first: four lines fill all banks, and the
  // vectors of the next four change places.
  __device__ __forceinline__ uint32_t place(uint32_t bytes, uint32_t vector) const {
    const uint32_t at = bytes & (bytes_ - 1);
    return (at ^ (at / (4 * kLineBytes) % kVectors * 16)) ^ (vector * 16);
  }

  static constexpr int kLineBytes = kWeightGradientPatchChannels * sizeof(T), kVectors = kLineBytes / 16;

 private:
  static constexpr int kThreads = kWeightGradientPatchLines * kVectors;

  __device__ __forceinline__ static int line_of(int part) {
    return part * kWeightGradientPatchLines + threadIdx.x / kVectors;
  }

  // Channels that do not exist, or belong to others, are rows that nobody writes.
  __device__ __forceinline__ void begin_sample(int sample) {
    sample_ = sample;
    const int first = channel_ - arguments_.x.skipped, channels = arguments_.x.channels - arguments_.x.skipped;
    if (first >= 0 && first + kWide<T> <= channels) {
      const ChannelNorm<kWide<T>> norm(arguments_.norm, sample, first);
#pragma unroll
      for (int k = 0; k < kWide<T>; k++) mean_[k] = norm.mean[k], scale_[k] = norm.scale[k], beta_[k] = norm.beta[k];
      return;
    }
#pragma unroll
    for (int k = 0; k < kWide<T>; k++) {
      mean_[k] = scale_[k] = beta_[k] = 0;
      if (first + k < 0 || first + k >= channels) continue;
      const ChannelNorm<1> norm(arguments_.norm, sample, first + k);
      mean_[k] = norm.mean[0], scale_[k] = norm.scale[0], beta_[k] = norm.beta[0];
    }
  }

  const Conv2dWeightGradientArguments& arguments_;
  std::byte* const memory_;
  const uint32_t bytes_;
  const int first_, end_, channel_, copied_bytes_;
  int sample_ = -1;
  float mean_[kWide<T>], scale_[kWide<T>], beta_[kWide<T>];
};

// Sums of nine taps, 16 rows of channels each, by Columns; four warps stand side by side.
template <int Columns>
class PatchSums {
 public:
  // Adds 32 lines of dy, from pixel `first` on, `line` of the ring.
  __device__ __forceinline__ void add(const Conv2dWeightGradientArguments& arguments, const PixelRing& ring,
                                      uint32_t memory, uint32_t zeros, const bf16* dy, int first, int line, int end) {
    const int within = threadIdx.x % 8, matrix = threadIdx.x % kWarp / 8;
    const int row_bytes = static_cast<int>(arguments.output_width.value) * PixelRing::kLineBytes;
#pragma unroll
    for (int step = 0; step < kWeightGradientPatchLines; step += 16) {
      uint32_t b[kWide8 / 2][4];
#pragma unroll
      for (int j = 0; j < kWide8 / 2; j++)
        load_matrices_transposed(
            b[j], shared_address(dy + tile_offset<Columns, bf16>(step + matrix % 2 * 8 + within,
                                                                 first_column() + j * 16 + matrix / 2 * 8)));
      const int at = step + matrix / 2 * 8 + within, pixel = first + at;
      const Quotient across = divide(pixel, arguments.output_width);
      const int column = across.remainder, row = divide(across.quotient, arguments.output_height).remainder;
      const bool exists = pixel < end;
      const bool inside_row[] = {exists && row > 0, exists,
                                 exists && row + 1 < static_cast<int>(arguments.output_height.value)};
      const bool inside_column[] = {column > 0, true, column + 1 < static_cast<int>(arguments.output_width.value)};
      const uint32_t centre = (line + at) * PixelRing::kLineBytes;
#pragma unroll
      for (int tap = 0; tap < kWeightGradientPatchTaps; tap++) {
        const uint32_t place = ring.place(centre + (tap / 3 - 1) * row_bytes + (tap % 3 - 1) * PixelRing::kLineBytes,
                                          static_cast<uint32_t>(matrix % 2));
        const bool inside = inside_row[tap / 3] && inside_column[tap % 3];
        uint32_t a[4];
        load_matrices_transposed(a, inside ? memory + place : zeros + place % kWeightGradientZeroBytes);
#pragma unroll
        for (int j = 0; j < kWide8; j++) {
          const uint32_t pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          multiply_bf16(sums_[tap][j], a, pair);
        }
      }
    }
  }

  __device__ __forceinline__ void write(const Conv2dWeightGradientArguments& arguments, int first_channel,
                                        int column) const {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int tap = 0; tap < kWeightGradientPatchTaps; tap++)
#pragma unroll
      for (int j = 0; j < kWide8; j++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          write_pair(arguments, tap, first_channel + half * 8 + lane / 4,
                     column + first_column() + j * 8 + lane % 4 * 2, sums_[tap][j][2 * half],
                     sums_[tap][j][2 * half + 1]);
  }

 private:
  static constexpr int kWarpColumns = Columns / (kWeightGradientPatchThreads / kWarp), kWide8 = kWarpColumns / 8;
  __device__ __forceinline__ static int first_column() { return threadIdx.x / kWarp * kWarpColumns; }

  float sums_[kWeightGradientPatchTaps][kWide8][4] = {};
};

// Block (x, y, z) sums channels 16 x … by Columns output channels over split z of the pixels. While 32 pixels are
// multiplied, dy of the next but one are on their way, and x of as many, and x that came before is finished.
template <int Columns>
__device__ __forceinline__ void reduce_patches(const Conv2dWeightGradientArguments& arguments) {
  constexpr int kLines = kWeightGradientPatchLines, kStages = kWeightGradientStages;
  constexpr int kThreads = kWeightGradientPatchThreads;
  extern __shared__ __align__(128) unsigned char memory[];
  unsigned char* const zeros = memory + arguments.ring_lines * PixelRing::kLineBytes;
  bf16* const dy_tiles = reinterpret_cast<bf16*>(zeros + kWeightGradientZeroBytes);

  const int first_column = blockIdx.y * Columns;
  const int begin = blockIdx.z * arguments.split_pixels;
  const int end = min(begin + arguments.split_pixels, arguments.pixels);
  const int steps = (end - begin + kLines - 1) / kLines;
  __builtin_assume(steps > 0);  // no split of the pixels is empty

  using GradientCopies = ChunkCopies<bf16, Columns, kLines, kThreads>;
  const GradientCopies dy(arguments.dy, first_column + GradientCopies::chunk() * kWide<bf16>, true);
  const auto copy_dy = [&](int step, int stage) {
#pragma unroll
    for (int copy = 0; copy < GradientCopies::kCopies; copy++) {
      const int pixel = begin + step * kLines + GradientCopies::line(copy);
      dy.copy(dy_tiles + stage * kLines * Columns, copy, pixel, pixel < end);
    }
  };

  PixelRing ring(arguments, reinterpret_cast<std::byte*>(memory), begin, end);
  const int halo = ring.halo();
  for (int part = 0; part <= halo + 1; part++) ring.fetch(part);
  for (int step = 0; step < kStages - 1; step++)
    if (step < steps) copy_dy(step, step);
  end_copies();
  if (threadIdx.x < kWeightGradientZeroBytes / sizeof(uint32_t)) reinterpret_cast<uint32_t*>(zeros)[threadIdx.x] = 0;
  wait_for_copies<0>();
  for (int part = 0; part <= halo; part++) ring.finish(part);

  PatchSums<Columns> sums;
  ColumnSums<bf16, Columns, kLines, kThreads> column_sums;
  const bool sums_columns = blockIdx.x == 0 && arguments.dbias;
  int stage = 0;
  for (int step = 0; step < steps; step++) {
    // Everybody's copies have arrived, and nobody reads any more what is overwritten next.
    __syncthreads();
    if (step + kStages - 1 < steps) copy_dy(step + kStages - 1, stage == 0 ? kStages - 1 : stage - 1);
    ring.fetch(step + halo + 2);
    end_copies();
    const bf16* const tile = dy_tiles + stage * kLines * Columns;
    // The ring begins with the row and the pixel before the split's first.
    sums.add(arguments, ring, shared_address(memory), shared_address(zeros), tile, begin + step * kLines,
             step * kLines + static_cast<int>(arguments.output_width.value) + 1, end);
    if (sums_columns) column_sums.add(tile);
    // All but what was asked for last.
    wait_for_copies<1>();
    ring.finish(step + halo + 1);
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  sums.write(arguments, blockIdx.x * kWeightGradientPatchChannels, first_column);
  if (sums_columns) column_sums.write(arguments, first_column, reinterpret_cast<float*>(memory));
}

}  // namespace diffuse::cuda
