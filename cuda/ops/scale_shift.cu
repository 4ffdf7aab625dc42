// Scale and shift of channels (native/ops/scale_shift.h has the formulas and the legend).
// @promises ld.global.v4 st.global.v4 shfl.sync
// @moves 64 scale_shift_forward scale_shift_backward
#include "common/line_sums.h"
#include "common/tiling.h"
#include "cuda/arguments/scale_shift.h"

namespace diffuse::cuda {
namespace {

// Bound by bytes: x is read and y, which may be x, written once.
template <typename T, int Width>
__device__ __forceinline__ void forward(const ScaleShiftForwardArguments& arguments) {
  const View images[] = {arguments.x};
  const int32_t C = arguments.x.channels;
  const Walk walk = walk_of(arguments.tiling, C);
  if (walk.first >= walk.last) return;
  const float* numbers = row<const float>(arguments.scale_shift, walk.sample) + walk.channel;
  float factor[Width], shift[Width];
#pragma unroll
  for (int k = 0; k < Width; k++) {
    factor[k] = 1.0f + numbers[k];
    shift[k] = numbers[C + k];
  }
  for_each_pixel<Width, T>(walk, images, [&](int64_t r, const float(&x)[1][Width]) {
    float y[Width];
#pragma unroll
    for (int k = 0; k < Width; k++) y[k] = fmaf(x[0][k], factor[k], shift[k]);
    store(row<T>(arguments.y, r) + walk.channel, y);
  });
}

// Bound by bytes: dy and x are read and dx, which may be dy, is written once. A thread has few enough pixels to sum
// them in float32; whoever sums these sums does it in float64.
template <typename T, int Width>
__device__ __forceinline__ void backward(const ScaleShiftBackwardArguments& arguments) {
  __shared__ LineSums<kTilingThreads, 2, double> shared;
  const Tiling& t = arguments.tiling;
  const View images[] = {arguments.dy, arguments.x};
  const int32_t C = arguments.x.channels;
  const Walk walk = walk_of(t, C);
  float sums[2][Width] = {};
  if (walk.first < walk.last) {
    float factor[Width];
#pragma unroll
    for (int k = 0; k < Width; k++)
      factor[k] = 1.0f + row<const float>(arguments.scale_shift, walk.sample)[walk.channel + k];
    for_each_pixel<Width, T>(walk, images, [&](int64_t r, const float(&image)[2][Width]) {
      float dx[Width];
#pragma unroll
      for (int k = 0; k < Width; k++) {
        const float dy = image[0][k];
        dx[k] = dy * factor[k];
        sums[0][k] = fmaf(dy, image[1][k], sums[0][k]);
        sums[1][k] += dy;
      }
      store(row<T>(arguments.dx, r) + walk.channel, dx);
    });
  }
  double* parts = arguments.parts + (walk.sample * t.blocks + walk.block) * 2 * C;
  sum_lines<kTilingThreads, 2, Width>(
      sums, t.columns, first_channel_of(t), C, shared,
      [&](int number, int32_t channel, double sum) { parts[number * C + channel] = sum; });
}

}  // namespace

#define DIFFUSE_IMAGES(suffix, T)                                                                         \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                            \
      scale_shift_forward_##suffix(const __grid_constant__ ScaleShiftForwardArguments arguments) {        \
    with_width<T>(arguments.tiling, [&](auto width) { forward<T, decltype(width)::value>(arguments); });  \
  }                                                                                                       \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                            \
      scale_shift_backward_##suffix(const __grid_constant__ ScaleShiftBackwardArguments arguments) {      \
    with_width<T>(arguments.tiling, [&](auto width) { backward<T, decltype(width)::value>(arguments); }); \
  }
DIFFUSE_IMAGES(f32, float)
DIFFUSE_IMAGES(bf16, bf16)

// dscaleShift: the parts of every sample, summed. Bound by latency.
extern "C" __global__ void __launch_bounds__(kTilingThreads)
    scale_shift_backward_total(const __grid_constant__ ScaleShiftBackwardArguments arguments) {
  __shared__ double shared[kTilingThreads];
  const PartColumn at = part_column_of(2 * int64_t{arguments.x.channels});
  const double sum = sum_sample_parts<kTilingThreads>(arguments.parts, arguments.tiling.blocks, at, shared);
  if (at.emits) row<float>(arguments.dscale_shift, at.sample)[at.column] = static_cast<float>(sum);
}

}  // namespace diffuse::cuda
