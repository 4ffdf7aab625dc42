// Elementwise arithmetic (native/ops/elementwise.h has the formulas). All of it is bound by bytes: 128-bit loads and
// stores where the views allow, as many blocks as fill the GPU, no shared memory.
// @promises ld.global.v4 st.global.v4
// @moves 16 fill
// @moves 24 cast
// @moves 32 copy scale add_channels multiply_samples divide_samples
// @moves 48 add multiply
#include "common/image.h"
#include "common/pixels.h"
#include "cuda/arguments/elementwise.h"

namespace diffuse::cuda {
namespace {

// y = f(x, row) of every element; an element of To may be as wide as two of From.
template <typename To, typename From, typename Function>
__device__ __forceinline__ void transform(const View& y, const View& x, Function&& f) {
  constexpr int kBoth = kWide<To> < kWide<From> ? kWide<To> : kWide<From>;
  const auto body = [&](auto width, int64_t r, int32_t c) {
    constexpr int N = decltype(width)::value;
    float values[N];
    load(values, row<const From>(x, r) + c);
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = f(values[i], r);
    store(row<To>(y, r) + c, values);
  };
  for_each_pack_of<kBoth>(y, body, x);
}

// y = f(a, b) of every element; b is a view of U and has the row `row_of_b(row)` beside each row of a.
template <typename T, typename U, typename Function, typename RowOfB>
__device__ __forceinline__ void combine(const ElementwiseArguments& arguments, RowOfB&& row_of_b, Function&& f) {
  const View &y = arguments.y, &a = arguments.a, &b = arguments.b;
  const auto body = [&](auto width, int64_t r, int32_t c) {
    constexpr int N = decltype(width)::value;
    float left[N], right[N];
    load(left, row<const T>(a, r) + c);
    load(right, row<const U>(b, row_of_b(r)) + c);
#pragma unroll
    for (int i = 0; i < N; i++) left[i] = f(left[i], right[i]);
    store(row<T>(y, r) + c, left);
  };
  for_each_pack_of<kWide<T>>(y, body, a, b);
}

template <typename To, typename From>
__device__ __forceinline__ void convert(const ElementwiseArguments& arguments) {
  transform<To, From>(arguments.y, arguments.a, [](float x, int64_t) { return x; });
}

template <typename T>
__device__ __forceinline__ void fill(const ElementwiseArguments& arguments) {
  const float value = static_cast<float>(arguments.attributes[0]);
  const auto body = [&](auto width, int64_t r, int32_t c) {
    constexpr int N = decltype(width)::value;
    float values[N];
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = value;
    store(row<T>(arguments.y, r) + c, values);
  };
  for_each_pack_of<kWide<T>>(arguments.y, body);
}

template <typename T>
__device__ __forceinline__ void scale(const ElementwiseArguments& arguments) {
  const float factor = static_cast<float>(arguments.attributes[0]);
  transform<T, T>(arguments.y, arguments.a, [=](float x, int64_t) { return factor * x; });
}

template <typename T>
__device__ __forceinline__ void add(const ElementwiseArguments& arguments) {
  const float alpha = static_cast<float>(arguments.attributes[0]), beta = static_cast<float>(arguments.attributes[1]);
  combine<T, T>(
      arguments, [](int64_t r) { return r; },
      [=](float a, float b) { return __fmaf_rn(alpha, a, __fmul_rn(beta, b)); });
}

template <typename T>
__device__ __forceinline__ void multiply(const ElementwiseArguments& arguments) {
  combine<T, T>(
      arguments, [](int64_t r) { return r; }, [](float a, float b) { return a * b; });
}

template <typename T>
__device__ __forceinline__ void add_channels(const ElementwiseArguments& arguments) {
  combine<T, float>(
      arguments, [&](int64_t r) { return r / arguments.pixels; }, [](float x, float t) { return x + t; });
}

}  // namespace

// All entries take the same arguments in blocks of the same size.
#define ENTRY(name)                                                 \
  extern "C" __global__ void __launch_bounds__(kElementwiseThreads) \
      name(const __grid_constant__ ElementwiseArguments arguments)

ENTRY(copy_f32) { convert<float, float>(arguments); }
ENTRY(copy_bf16) { convert<bf16, bf16>(arguments); }
ENTRY(cast_f32) { convert<float, bf16>(arguments); }
ENTRY(cast_bf16) { convert<bf16, float>(arguments); }
ENTRY(fill_f32) { fill<float>(arguments); }
ENTRY(fill_bf16) { fill<bf16>(arguments); }
ENTRY(scale_f32) { scale<float>(arguments); }
ENTRY(scale_bf16) { scale<bf16>(arguments); }
ENTRY(add_f32) { add<float>(arguments); }
ENTRY(add_bf16) { add<bf16>(arguments); }
ENTRY(multiply_f32) { multiply<float>(arguments); }
ENTRY(multiply_bf16) { multiply<bf16>(arguments); }
ENTRY(add_channels_f32) { add_channels<float>(arguments); }
ENTRY(add_channels_bf16) { add_channels<bf16>(arguments); }

ENTRY(multiply_samples_f32) {
  const float* factor = row<const float>(arguments.b, 0);
  transform<float, float>(arguments.y, arguments.a,
                          [&](float x, int64_t r) { return x * factor[r / arguments.pixels]; });
}
ENTRY(divide_samples_f32) {
  const float* divisor = row<const float>(arguments.b, 0);
  transform<float, float>(arguments.y, arguments.a,
                          [&](float x, int64_t r) { return x / divisor[r / arguments.pixels]; });
}

}  // namespace diffuse::cuda
