// What is done before and after the products of convolutions (ops/conv2d.h). All of it is bound by bytes.
#include <type_traits>

#include "common/image.h"
#include "common/instructions.h"
#include "cuda/arguments/conv2d.h"

namespace diffuse::cuda {

// --- Weights

// A weight as output `output` has it at `depth`.
__device__ __forceinline__ float weight_at(const PackWeightsArguments& arguments, const ConvolutionLattice& lattice,
                                           int32_t depth, int32_t output) {
  const int32_t tap = depth / arguments.padded_channels, source = depth % arguments.padded_channels;
  const int32_t sources = arguments.data_gradient ? arguments.weight.channels : arguments.channels;
  const int32_t outputs = arguments.data_gradient ? arguments.channels : arguments.weight.channels;
  if (output >= outputs || source >= sources || tap >= lattice.window_rows * lattice.window_columns) return 0;
  const int32_t a = lattice.weight_row + tap / lattice.window_columns * arguments.tap_step;
  const int32_t b = lattice.weight_column + tap % lattice.window_columns * arguments.tap_step;
  const int64_t place = static_cast<int64_t>(a * arguments.window_columns + b) * arguments.channels;
  return arguments.data_gradient ? row<float>(arguments.weight, place + output)[source]
                                 : row<float>(arguments.weight, place + source)[output];
}

// Both sides are read and written along the channels that are neighbours there; where these differ, tiles of 32 x 32
// change places in shared memory, whose rows are one float longer so that columns lie in different banks.
template <typename T>
__device__ __forceinline__ void pack(const PackWeightsArguments& arguments) {
  __shared__ float tile[kPackTile][kPackTile + 1];
  const ConvolutionLattice& lattice = arguments.lattice[blockIdx.z];
  const int32_t first_depth = blockIdx.x * kPackTile, first_output = blockIdx.y * kPackTile;
  if (first_depth >= lattice.depth) return;
  const int lane = threadIdx.x % kPackTile, first = threadIdx.x / kPackTile;
  constexpr int kStep = kPassThreads / kPackTile;
  if (!arguments.data_gradient) {
#pragma unroll
    for (int i = 0; i < kPackTile; i += kStep)
      tile[first + i][lane] = weight_at(arguments, lattice, first_depth + first + i, first_output + lane);
    __syncthreads();
  }
  if (first_depth + lane >= lattice.depth) return;
#pragma unroll
  for (int i = 0; i < kPackTile; i += kStep) {
    const int32_t output = first_output + first + i;
    const float value =
        arguments.data_gradient ? weight_at(arguments, lattice, first_depth + lane, output) : tile[lane][first + i];
    T* to = static_cast<T*>(arguments.to) + lattice.first_weight + static_cast<int64_t>(output) * lattice.depth;
    to[first_depth + lane] =
        from_float<T>(std::is_same_v<T, float> && arguments.tf32 ? __uint_as_float(to_tf32(value)) : value);
  }
}

extern "C" __global__ void __launch_bounds__(kPassThreads)
    conv2d_pack_f32(const __grid_constant__ PackWeightsArguments arguments) {
  pack<float>(arguments);
}
extern "C" __global__ void __launch_bounds__(kPassThreads)
    conv2d_pack_bf16(const __grid_constant__ PackWeightsArguments arguments) {
  pack<bf16>(arguments);
}

// --- Statistics

// Moments or sums of one channel of one chunk a thread, segment after segment. In float64, of which there are a few
// operations for 16 to 64 pixels.
extern "C" __global__ void __launch_bounds__(kPassThreads)
    conv2d_merge_f32(const __grid_constant__ MergeSegmentsArguments arguments) {
  const uint32_t index = blockIdx.x * kPassThreads + threadIdx.x, channels = arguments.to.channels;
  const uint32_t chunk = index / channels % arguments.chunks, sample = index / channels / arguments.chunks;
  if (sample >= arguments.samples) return;
  const int32_t channel = index % channels, numbers = arguments.sums ? 2 : 3;
  double origin = 0, count = 0, mean = 0, squares = 0, sum = 0, second = 0;
  for (int32_t l = 0; l < arguments.lattices; l++) {
    const ConvolutionLattice& lattice = arguments.lattice[l];
    const uint32_t begin = chunk * lattice.chunk_pixels.value;
    const uint32_t end = min(begin + lattice.chunk_pixels.value, lattice.pixels.value);
    if (begin >= end) continue;
    for (uint32_t unit = begin / arguments.unit_pixels; unit <= (end - 1) / arguments.unit_pixels; unit++) {
      const int64_t segment =
          static_cast<int64_t>(sample) * arguments.segments_of_sample + lattice.first_segment + unit + chunk;
      const float* from = arguments.segments + segment * numbers * channels + channel;
      if (arguments.sums) {
        sum += from[0];
        second += from[channels];
        continue;
      }
      // Chan, Golub and LeVeque; means count from the first pixel of the chunk.
      const uint32_t from_pixel = max(begin, unit * arguments.unit_pixels);
      const uint32_t to_pixel = min(end, (unit + 1) * arguments.unit_pixels);
      const double own_count = to_pixel - from_pixel;
      if (count == 0) origin = from[0];
      const double delta = from[0] - origin + from[channels] - mean;
      const double weight = own_count / (count + own_count);
      mean += delta * weight;
      squares += from[2 * channels] + delta * delta * count * weight;
      count += own_count;
    }
  }
  float* to = row<float>(arguments.to, static_cast<int64_t>(index / channels) * numbers) + channel;
  const int64_t step = arguments.to.row_stride;
  to[0] = static_cast<float>(arguments.sums ? sum : origin);
  to[step] = static_cast<float>(arguments.sums ? second : mean);
  if (!arguments.sums) to[2 * step] = static_cast<float>(squares);
}

}  // namespace diffuse::cuda
