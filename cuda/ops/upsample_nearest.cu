// Nearest-neighbour upsampling (native/ops/upsample_nearest.h has the formulas). Bound by bytes: a thread takes some
// channels of a pixel of the small image, and the block of pixels that it becomes.
// @promises ld.global.v4 st.global.v4
// @moves 48 upsample_nearest_forward
// @moves 32 upsample_nearest_backward
#include "common/pixels.h"
#include "cuda/arguments/upsample_nearest.h"

namespace diffuse::cuda {
namespace {

// At once on a multiprocessor: without the number the compiler wants more of them and spills.
constexpr int kBlocks = 4;

// body(large row) for every pixel of the block that row `r` of the small image stands for.
template <typename Body>
__device__ __forceinline__ void for_each_copy(const UpsampleNearestArguments& v, int64_t r, Body&& body) {
  const int64_t k = r % v.size[2], rest = r / v.size[2], j = rest % v.size[1], ni = rest / v.size[1];
  const int64_t height = static_cast<int64_t>(v.size[1]) * v.factor[1],
                width = static_cast<int64_t>(v.size[2]) * v.factor[2];
  for (const int32_t factor : v.factor) __builtin_assume(factor > 0);
#pragma unroll 1
  for (int32_t a = 0; a < v.factor[0]; a++)
#pragma unroll 1
    for (int32_t b = 0; b < v.factor[1]; b++)
#pragma unroll 2
      for (int32_t c = 0; c < v.factor[2]; c++)
        body(((ni * v.factor[0] + a) * height + j * v.factor[1] + b) * width + k * v.factor[2] + c);
}

template <typename T>
__device__ __forceinline__ void forward(const UpsampleNearestArguments& arguments) {
  const View &x = arguments.small, &y = arguments.large;
  const auto body = [&](auto width, int64_t r, int32_t c) {
    constexpr int N = decltype(width)::value;
    const auto pack = *reinterpret_cast<const Pack<T, N>*>(row<const T>(x, r) + c);
    for_each_copy(arguments, r, [&](int64_t copy) { *reinterpret_cast<Pack<T, N>*>(row<T>(y, copy) + c) = pack; });
  };
  for_each_pack_of<kWide<T>>(x, body, y);
}

template <typename T>
__device__ __forceinline__ void backward(const UpsampleNearestArguments& arguments) {
  const View &dx = arguments.small, &dy = arguments.large;
  const auto body = [&](auto width, int64_t r, int32_t c) {
    constexpr int N = decltype(width)::value;
    float sum[N] = {};
    for_each_copy(arguments, r, [&](int64_t copy) {
      float values[N];
      load(values, row<const T>(dy, copy) + c);
#pragma unroll
      for (int i = 0; i < N; i++) sum[i] += values[i];
    });
    store(row<T>(dx, r) + c, sum);
  };
  for_each_pack_of<kWide<T>>(dx, body, dy);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kUpsampleNearestThreads, kBlocks)
    upsample_nearest_forward_f32(const __grid_constant__ UpsampleNearestArguments arguments) {
  forward<float>(arguments);
}

extern "C" __global__ void __launch_bounds__(kUpsampleNearestThreads, kBlocks)
    upsample_nearest_forward_bf16(const __grid_constant__ UpsampleNearestArguments arguments) {
  forward<bf16>(arguments);
}

extern "C" __global__ void __launch_bounds__(kUpsampleNearestThreads, kBlocks)
    upsample_nearest_backward_f32(const __grid_constant__ UpsampleNearestArguments arguments) {
  backward<float>(arguments);
}

extern "C" __global__ void __launch_bounds__(kUpsampleNearestThreads, kBlocks)
    upsample_nearest_backward_bf16(const __grid_constant__ UpsampleNearestArguments arguments) {
  backward<bf16>(arguments);
}

}  // namespace diffuse::cuda
