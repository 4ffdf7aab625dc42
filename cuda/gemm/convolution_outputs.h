// What a convolution does to a tile of sums before it writes them (ops/conv2d.h). The sums change places in shared
// memory, so that each thread has neighbouring channels, which are read and written in 128 bits.
#pragma once

#include "common/normalise.h"
#include "common/silu.h"
#include "cuda/arguments/conv2d.h"
#include "gemm/divide.h"
#include "gemm/tiles.h"

namespace diffuse::cuda {

// One pixel of the outputs' lattice; sample is -1 where there is none.
struct OutputPixel {
  int32_t sample, row, column, segment;
};

// Of a row of the product.
__device__ __forceinline__ OutputPixel locate(const ConvolutionArguments& arguments, const ConvolutionLattice& lattice,
                                              int32_t row) {
  const Quotient group = divide(row, lattice.padded_pixels), sample = divide(group.remainder, lattice.pixels);
  if (group.quotient >= arguments.groups || sample.quotient >= arguments.samples_of_group) return {-1, 0, 0, -1};
  const Quotient place = divide(sample.remainder, lattice.columns);
  const int32_t number = group.quotient * arguments.samples_of_group + sample.quotient;
  const int32_t unit = arguments.chunks_are_segments ? 0 : sample.remainder / arguments.unit_pixels;
  const int32_t chunk = divide(sample.remainder, lattice.chunk_pixels).quotient;
  return {number, place.quotient, place.remainder,
          number * arguments.segments_of_sample + lattice.first_segment + unit + chunk};
}

// Finishes the outputs of N neighbouring channels.
template <typename T, int N>
class OutputChannels {
 public:
  __device__ __forceinline__ OutputChannels(const ConvolutionArguments& arguments, int32_t channel)
      : arguments_(arguments), channel_(channel), count_(arguments.to.channels - channel) {}

  // Whether the first of them exists.
  __device__ __forceinline__ bool exist() const { return count_ > 0; }

  __device__ __forceinline__ void finish(float (&values)[N], const OutputPlace& place) {
    const bool backward = arguments_.x.data != nullptr, wide = arguments_.wide;
    if (place.sample != sample_) begin_sample(place.sample);
    if (backward) {
      float x[N];
      load_some(x, row<T>(arguments_.x, place.pixel) + channel_, count_, wide);
      if (arguments_.silu) {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] *= silu_slope(normalised(x[i], mean_[i], scale_[i], base_[i]));
      }
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) values[i] += base_[i];
      if (arguments_.residual.data) {
        float residual[N];
        load_some(residual, row<T>(arguments_.residual, place.pixel) + channel_, count_, wide);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] += residual[i];
      }
    }
    T* to = row<T>(arguments_.to, place.pixel) + channel_;
    store_some(to, values, count_, wide);
  }

 private:
  // What is the same for all pixels of a sample. The N requests of a thread touch parts of the same sectors, which all
  // but the first find in the L1 cache.
  __device__ __forceinline__ void begin_sample(int32_t sample) {
    sample_ = sample;
#pragma unroll
    for (int i = 0; i < N; i++) {
      base_[i] = 0;
      if (i >= count_) continue;
      if (arguments_.x.data) {
        const ChannelNorm<1> norm(arguments_.norm, sample, channel_ + i);
        mean_[i] = norm.mean[0];
        scale_[i] = norm.scale[0];
        base_[i] = norm.beta[0];
      } else {
        if (arguments_.bias) base_[i] = arguments_.bias[channel_ + i];
        if (arguments_.shift.data) base_[i] += row<float>(arguments_.shift, sample)[channel_ + i];
      }
    }
  }

  const ConvolutionArguments& arguments_;
  const int32_t channel_, count_;
  int32_t sample_ = -1;
  float base_[N], mean_[N], scale_[N];
};

// Moments or sums of one channel over the segments of a table of finished outputs, row after row.
template <typename T, int Pitch>
__device__ __forceinline__ void take_statistics(const ConvolutionArguments& arguments, const float* column,
                                                const OutputPlace* places, int32_t channel) {
  const bool backward = arguments.x.data != nullptr;
  const int64_t stride = arguments.segments_stride;
  OutputPlace current{-1, -1, -1};
  float mean = 0, origin = 0, sum = 0, second = 0, count = 0;
  for (int r = 0; r <= kFinishedRows; r++) {
    const OutputPlace place = r < kFinishedRows ? places[r] : OutputPlace{-1, -1, -1};
    if (place.segment != current.segment) {
      if (current.segment >= 0) {
        float* to = arguments.segments + current.segment * (backward ? 2 : 3) * stride + channel;
        if (backward) {
          to[0] = sum;
          to[stride] = second;
        } else {
          const float average = sum / count;
          to[0] = origin;
          to[stride] = average;
          to[2 * stride] = fmaxf(fmaf(-sum, average, second), 0.0f);
        }
      }
      if (backward && place.sample >= 0 && place.sample != current.sample)
        mean = ChannelNorm<1>(arguments.norm, place.sample, channel).mean[0];
      current = place;
      sum = second = count = 0;
      if (place.segment >= 0) origin = column[r * Pitch];
    }
    if (place.segment < 0) continue;
    const float value = column[r * Pitch];
    if (backward) {
      sum += value;
      second = fmaf(value, to_float(row<T>(arguments.x, place.pixel)[channel]) - mean, second);
    } else {
      // Deviations from the first pixel: sums of large squares would cancel.
      const float deviation = value - origin;
      sum += deviation;
      second = fmaf(deviation, deviation, second);
    }
    count += 1;
  }
}

// A thread's neighbouring sums in shared memory. Of bf16 they are 32 bytes, whose halves every second stretch of
// threads takes the other way round: the eight threads that are served at once would else meet in half of the banks.
// `Vectors` threads have a row.
template <int N, int Vectors>
struct SharedSums {
  static_assert(N == 4 || N == 8, "one or two vectors of four");
  float4* first;
  bool swapped;

  __device__ __forceinline__ explicit SharedSums(float* sums)
      : first(reinterpret_cast<float4*>(sums)),
        swapped(N == 8 && threadIdx.x / (Vectors < 8 ? Vectors / 2 : 4) % 2 == 1) {}

  __device__ __forceinline__ void read(float (&values)[N]) const {
    float4 parts[N / 4];
#pragma unroll
    for (int i = 0; i < N / 4; i++) parts[i] = first[i ^ swapped];
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
      const float4 &part = parts[i], &other = parts[N / 4 - 1 - i];
      values[4 * i] = swapped ? other.x : part.x;
      values[4 * i + 1] = swapped ? other.y : part.y;
      values[4 * i + 2] = swapped ? other.z : part.z;
      values[4 * i + 3] = swapped ? other.w : part.w;
    }
  }

  __device__ __forceinline__ void write(const float (&values)[N]) const {
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
      const float *part = values + 4 * i, *other = values + 4 * (N / 4 - 1 - i);
      first[i ^ swapped] = make_float4(swapped ? other[0] : part[0], swapped ? other[1] : part[1],
                                       swapped ? other[2] : part[2], swapped ? other[3] : part[3]);
    }
  }
};

// Finishes and writes the sums of a block's tile. What `shared` held is no longer needed when all threads have come
// here. A thread keeps its channels, so that it looks up once what is the same for all pixels of a sample.
template <typename Core>
__device__ __forceinline__ void write_outputs(const Core& core, const ConvolutionArguments& arguments,
                                              const ConvolutionLattice& lattice, uint32_t first_row,
                                              uint32_t first_column, std::byte* shared) {
  using T = typename Core::T;
  constexpr int kVectors = Core::kColumns / kWide<T>, kPitch = output_pitch(Core::kColumns);
  constexpr int kRowsAtOnce = Core::kThreads / kVectors;
  static_assert(kFinishedRows <= Core::kThreads && kFinishedRows % kRowsAtOnce == 0);
  float* table = reinterpret_cast<float*>(shared);
  OutputPlace* places = reinterpret_cast<OutputPlace*>(table + kFinishedRows * kPitch);
  const int column = threadIdx.x % kVectors * kWide<T>;
  OutputChannels<T, kWide<T>> channels(arguments, static_cast<int32_t>(first_column) + column);

  for (int first = 0; first < Core::kRows; first += kFinishedRows) {
    __syncthreads();
    if (Core::first_row() / kFinishedRows == first / kFinishedRows) core.template store<kPitch>(table, first);
    if (threadIdx.x < kFinishedRows) {
      const OutputPixel at = locate(arguments, lattice, first_row + first + threadIdx.x);
      const int32_t y = at.row * arguments.output_step + lattice.first_row;
      const int32_t x = at.column * arguments.output_step + lattice.first_column;
      places[threadIdx.x] = {(at.sample * arguments.output_rows + y) * arguments.output_columns + x, at.sample,
                             at.segment};
    }
    __syncthreads();
    if (channels.exist()) {
      for (int part = 0; part < kFinishedRows / kRowsAtOnce; part++) {
        const int r = threadIdx.x / kVectors + part * kRowsAtOnce;
        const OutputPlace place = places[r];
        if (place.sample < 0) continue;
        float values[kWide<T>];
        const SharedSums<kWide<T>, kVectors> sums(table + r * kPitch + column);
        sums.read(values);
        channels.finish(values, place);
        if (arguments.segments) sums.write(values);
      }
    }
    if (!arguments.segments) continue;
    __syncthreads();
    const int32_t channel = static_cast<int32_t>(first_column + threadIdx.x);
    if (threadIdx.x < Core::kColumns && channel < arguments.to.channels)
      take_statistics<T, kPitch>(arguments, table + threadIdx.x, places, channel);
  }
}

}  // namespace diffuse::cuda
