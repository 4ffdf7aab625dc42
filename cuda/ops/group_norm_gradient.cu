// The gradient of group normalisation (native/ops/group_norm.h has the formulas and the legend).
// @promises ld.global.v4 st.global.v4 shfl.sync
// @moves 64 normalise_backward normalise_gradient
#include "common/line_sums.h"
#include "common/normalise.h"
#include "common/reduce.h"
#include "common/silu.h"
#include "common/tiling.h"
#include "cuda/arguments/group_norm_gradient.h"

namespace diffuse::cuda {
namespace {

// Bound by bytes: dy and x are read, and with SiLU dz is written, once. A block has one chunk of some channels; dz may
// be dy.
template <typename T, int Width>
__device__ __forceinline__ void normalise_backward(const NormaliseBackwardArguments& arguments) {
  __shared__ LineSums<kTilingThreads, 2, float> shared;
  const Tiling& t = arguments.tiling;
  const View images[] = {arguments.dy, arguments.x};
  const Walk walk = walk_of(t, arguments.x.channels);
  float sums[2][Width] = {};
  if (walk.first < walk.last) {
    const ChannelNorm<Width> norm(arguments.norm, walk.sample, walk.channel);
    for_each_pixel<Width, T>(walk, images, [&](int64_t r, const float(&image)[2][Width]) {
      float dz[Width];
#pragma unroll
      for (int k = 0; k < Width; k++) dz[k] = image[0][k];
      if (arguments.silu) {
#pragma unroll
        for (int k = 0; k < Width; k++)
          dz[k] *= silu_slope<T>(normalised(image[1][k], norm.mean[k], norm.scale[k], norm.beta[k]));
        store(row<T>(arguments.dz, r) + walk.channel, dz);
      }
#pragma unroll
      for (int k = 0; k < Width; k++) {
        sums[0][k] += dz[k];
        sums[1][k] = fmaf(dz[k], image[1][k] - norm.mean[k], sums[1][k]);
      }
    });
  }
  const int64_t place = (walk.sample * t.blocks + walk.block) * 2;
  sum_lines<kTilingThreads, 2, Width>(
      sums, t.columns, first_channel_of(t), arguments.x.channels, shared,
      [&](int number, int32_t channel, float sum) { row<float>(arguments.sums, place + number)[channel] = sum; });
}

// Bound by bytes: dz, x and the addend are read, dx, which may be dz, is written once.
template <typename T, int Width, int Images>
__device__ __forceinline__ void normalise_gradient(const NormaliseGradientArguments& arguments,
                                                   const View (&images)[Images]) {
  const Walk walk = walk_of(arguments.tiling, arguments.x.channels);
  if (walk.first >= walk.last) return;
  const int64_t table = walk.sample * 4 * arguments.x.channels;
  const ChannelGradient<Width> gradient(arguments.coefficients + table, arguments.x.channels, walk.channel);
  for_each_pixel<Width, T>(walk, images, [&](int64_t r, const float(&image)[Images][Width]) {
    float dx[Width];
#pragma unroll
    for (int k = 0; k < Width; k++) {
      dx[k] = gradient(k, image[0][k], image[1][k]);
      if constexpr (Images > 2) dx[k] += image[2][k];
    }
    store(row<T>(arguments.dx, r) + walk.channel, dx);
  });
}

template <typename T>
__device__ __forceinline__ void normalise_gradient(const NormaliseGradientArguments& arguments) {
  with_width<T>(arguments.tiling, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    if (arguments.addend.data)
      normalise_gradient<T, kWidth>(arguments, {arguments.dz, arguments.x, arguments.addend});
    else
      normalise_gradient<T, kWidth>(arguments, {arguments.dz, arguments.x});
  });
}

}  // namespace

#define DIFFUSE_IMAGES(suffix, T)                                                                                   \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                                      \
      normalise_backward_##suffix(const __grid_constant__ NormaliseBackwardArguments arguments) {                   \
    with_width<T>(arguments.tiling, [&](auto width) { normalise_backward<T, decltype(width)::value>(arguments); }); \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                                      \
      normalise_gradient_##suffix(const __grid_constant__ NormaliseGradientArguments arguments) {                   \
    normalise_gradient<T>(arguments);                                                                               \
  }
DIFFUSE_IMAGES(f32, float)
DIFFUSE_IMAGES(bf16, bf16)

// One block a group of a sample: what the chunks summed becomes the coefficients of the group's channels, in float64.
// Some thousands of numbers, so bound by latency.
extern "C" __global__ void __launch_bounds__(kGroupThreads)
    group_norm_gradient(const __grid_constant__ GroupNormGradientArguments arguments) {
  __shared__ LineSums<kGroupThreads, kChannelTotals, double> shared;
  __shared__ double of_warps[2][kGroupThreads / kWarp];
  const int64_t sample = blockIdx.x / arguments.groups;
  const int32_t count = arguments.group_channels, C = arguments.channels;
  const int32_t first = blockIdx.x % arguments.groups * count, last = first + count;
  const double mean = arguments.mean[blockIdx.x], rstd = arguments.rstd[blockIdx.x];
  double* totals = arguments.totals + sample * kChannelTotals * C;
  for (int32_t tile = first; tile < last; tile += arguments.columns) {
    const int32_t channel = tile + static_cast<int32_t>(threadIdx.x) % arguments.columns;
    double sums[kChannelTotals][1] = {};
    if (channel < last) {
      for (int64_t q = threadIdx.x / arguments.columns; q < arguments.chunks; q += kGroupThreads / arguments.columns) {
        const int64_t place = sample * arguments.chunks + q;
        sums[0][0] += row<const float>(arguments.sums, place * 2)[channel];
        sums[1][0] += row<const float>(arguments.sums, place * 2 + 1)[channel] * rstd;
        if (!arguments.moments.data) continue;
        const double own = static_cast<double>(row<const float>(arguments.moments, place * 3)[channel]) +
                           row<const float>(arguments.moments, place * 3 + 1)[channel];
        sums[2][0] += (own - mean) * min(arguments.chunk, arguments.pixels - q * arguments.chunk);
      }
    }
    sum_lines<kGroupThreads, kChannelTotals, 1>(
        sums, arguments.columns, tile, last, shared,
        [&](int number, int32_t c, double sum) { totals[number * C + c] = sum; });
    __syncthreads();
  }
  double A = 0, B = 0;
  for (int32_t c = first + threadIdx.x; c < last; c += kGroupThreads) {
    A += arguments.gamma[c] * totals[c];
    B += arguments.gamma[c] * totals[C + c];
  }
  const double elements = static_cast<double>(arguments.pixels) * count;
  const double level = rstd * block_sum<kGroupThreads>(A, of_warps[0]) / elements;
  const double along = rstd * rstd * block_sum<kGroupThreads>(B, of_warps[1]) / elements;
  float* table = arguments.coefficients + sample * 4 * C;
  for (int32_t c = first + threadIdx.x; c < last; c += kGroupThreads) {
    const double own = rstd * arguments.gamma[c];
    table[c] = static_cast<float>(mean);
    table[C + c] = static_cast<float>(own);
    table[2 * C + c] = static_cast<float>(along);
    table[3 * C + c] = static_cast<float>(level);
    if (arguments.pixel_sums.data)
      row<float>(arguments.pixel_sums, sample)[c] =
          static_cast<float>(own * totals[c] - along * totals[2 * C + c] - level * arguments.pixels);
  }
}

// dβ and dγ: the channels' totals, summed over the samples.
extern "C" __global__ void __launch_bounds__(kTilingThreads)
    group_norm_gradient_parameters(const __grid_constant__ GroupNormGradientArguments arguments) {
  __shared__ double shared[kTilingThreads];
  const int64_t C = arguments.channels;
  const PartColumn at = part_column_of(2 * C);
  const double sum = sum_parts<kTilingThreads>(arguments.totals, arguments.samples, kChannelTotals * C, at, shared);
  if (!at.emits) return;
  float* to = at.column < C ? arguments.dbeta + at.column : arguments.dgamma + (at.column - C);
  *to = static_cast<float>(sum);
}

}  // namespace diffuse::cuda
