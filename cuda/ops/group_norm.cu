// Group normalisation forward (native/ops/group_norm.h has the formulas and the legend).
// @promises ld.global.v4 st.global.v4 shfl.sync
// @moves 64 channel_moments normalise_forward
#include "common/line_sums.h"
#include "common/normalise.h"
#include "common/reduce.h"
#include "common/silu.h"
#include "common/tiling.h"
#include "cuda/arguments/group_norm.h"

namespace diffuse::cuda {
namespace {

// Moments of one channel over some pixels, counted from an origin that all of them share.
struct Moments {
  float count = 0, mean = 0, squares = 0;

  // Chan, Golub and LeVeque 1979. Counts are whole numbers, and of two that are 0 the share is 0.
  __device__ __forceinline__ void merge(const Moments& other) {
    const float all = count + other.count, share = other.count / fmaxf(all, 1), delta = other.mean - mean;
    squares += other.squares + delta * delta * count * share;
    mean += delta * share;
    count = all;
  }
};

constexpr int kTilingWarps = kTilingThreads / kWarp;

// Bound by bytes: every pixel is read once. A thread takes the moments of its pixels one by one (Welford 1962), less
// the chunk's first pixel, so that neither a large mean nor a small deviation costs accuracy; then threads and warps
// that stand on the same channels merge theirs.
template <typename T, int Width>
__device__ __forceinline__ void channel_moments(const ChannelMomentsArguments& arguments) {
  __shared__ Moments of_warp[kTilingWarps][kLinePlaces<float>];
  const Tiling& t = arguments.tiling;
  const View images[] = {arguments.x};
  const int32_t channels = arguments.x.channels;
  const Walk walk = walk_of(t, channels);
  float origin[Width] = {}, mean[Width] = {}, squares[Width] = {}, count = 0;
  if (walk.first < walk.last) load(origin, row<const T>(arguments.x, walk.begin) + walk.channel);
  for_each_pixel<Width, T>(walk, images, [&](int64_t, const float(&x)[1][Width]) {
    count++;
    const float share = 1.0f / count;
#pragma unroll
    for (int k = 0; k < Width; k++) {
      const float from_origin = x[0][k] - origin[k], delta = from_origin - mean[k];
      mean[k] = fmaf(delta, share, mean[k]);
      squares[k] = fmaf(delta, from_origin - mean[k], squares[k]);
    }
  });
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
  for (int k = 0; k < Width; k++) {
    Moments own{count, mean[k], squares[k]};
    for (int distance = t.columns; distance != kWarp; distance *= 2)
      own.merge({__shfl_xor_sync(kAllLanes, own.count, distance), __shfl_xor_sync(kAllLanes, own.mean, distance),
                 __shfl_xor_sync(kAllLanes, own.squares, distance)});
    if (lane < t.columns) of_warp[warp][line_place<float>(lane * Width + k)] = own;
  }
  __syncthreads();
  const int32_t slot = threadIdx.x, channel = first_channel_of(t) + slot;
  if (slot >= t.columns * Width || channel >= channels) return;
  Moments all = of_warp[0][line_place<float>(slot)];
#pragma unroll
  for (int w = 1; w < kTilingWarps; w++) all.merge(of_warp[w][line_place<float>(slot)]);
  const int64_t place = (walk.sample * t.blocks + walk.block) * 3;
  row<float>(arguments.moments, place)[channel] = to_float(row<const T>(arguments.x, walk.begin)[channel]);
  row<float>(arguments.moments, place + 1)[channel] = all.mean;
  row<float>(arguments.moments, place + 2)[channel] = all.squares;
}

// Bound by bytes: x is read and y written once, which may be the same memory. A thread has what belongs to its channels
// in registers.
template <typename T, int Width>
__device__ __forceinline__ void normalise_forward(const NormaliseForwardArguments& arguments) {
  const View images[] = {arguments.x};
  const Walk walk = walk_of(arguments.tiling, arguments.x.channels);
  if (walk.first >= walk.last) return;
  const ChannelNorm<Width> norm(arguments.norm, walk.sample, walk.channel);
  for_each_pixel<Width, T>(walk, images, [&](int64_t r, const float(&x)[1][Width]) {
    float y[Width];
#pragma unroll
    for (int k = 0; k < Width; k++) y[k] = normalised(x[0][k], norm.mean[k], norm.scale[k], norm.beta[k]);
    if (arguments.silu) {
#pragma unroll
      for (int k = 0; k < Width; k++) y[k] = silu<T>(y[k]);
    }
    store(row<T>(arguments.y, r) + walk.channel, y);
  });
}

}  // namespace

#define DIFFUSE_IMAGES(suffix, T)                                                                                  \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                                     \
      channel_moments_##suffix(const __grid_constant__ ChannelMomentsArguments arguments) {                        \
    with_width<T>(arguments.tiling, [&](auto width) { channel_moments<T, decltype(width)::value>(arguments); });   \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(kTilingThreads)                                                     \
      normalise_forward_##suffix(const __grid_constant__ NormaliseForwardArguments arguments) {                    \
    with_width<T>(arguments.tiling, [&](auto width) { normalise_forward<T, decltype(width)::value>(arguments); }); \
  }
DIFFUSE_IMAGES(f32, float)
DIFFUSE_IMAGES(bf16, bf16)

// One block a group of a sample: some thousands of numbers, so bound by latency. The second pass finds them in L1.
extern "C" __global__ void __launch_bounds__(kStatisticsThreads)
    group_norm_statistics(const __grid_constant__ GroupNormStatisticsArguments arguments) {
  __shared__ double of_mean[kStatisticsThreads / kWarp], of_squares[kStatisticsThreads / kWarp];
  const int64_t sample = blockIdx.x / arguments.groups;
  const int32_t count = arguments.group_channels, first = blockIdx.x % arguments.groups * count;
  const auto sum = [&](double* shared, auto&& of_chunk) {
    double total = 0;
    for (int64_t i = threadIdx.x; i < arguments.chunks * count; i += kStatisticsThreads) {
      const int64_t chunk = i / count, place = (sample * arguments.chunks + chunk) * 3;
      const int32_t channel = first + static_cast<int32_t>(i % count);
      const auto moment = [&](int which) {
        return static_cast<double>(row<const float>(arguments.moments, place + which)[channel]);
      };
      const double pixels = min(arguments.chunk, arguments.pixels - chunk * arguments.chunk);
      total += of_chunk(pixels, moment(0) + moment(1), moment(2));
    }
    return block_sum<kStatisticsThreads>(total, shared);
  };
  const double elements = static_cast<double>(arguments.pixels) * count;
  const double mean = sum(of_mean, [](double pixels, double own, double) { return own * pixels; }) / elements;
  const double squares = sum(of_squares, [&](double pixels, double own, double squares) {
    return squares + (own - mean) * (own - mean) * pixels;
  });
  if (threadIdx.x > 0) return;
  arguments.mean[blockIdx.x] = static_cast<float>(mean);
  arguments.rstd[blockIdx.x] = static_cast<float>(1 / sqrt(squares / elements + arguments.attributes[0]));
}

}  // namespace diffuse::cuda
