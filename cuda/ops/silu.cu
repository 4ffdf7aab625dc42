// SiLU, element by element (native/ops/silu.h has the formulas). Bound by bytes.
// @promises ld.global.v4 st.global.v4
// @moves 32 silu_forward
// @moves 48 silu_backward
#include "common/image.h"
#include "common/pixels.h"
#include "common/silu.h"
#include "cuda/arguments/silu.h"

namespace diffuse::cuda {
namespace {

template <typename T, int Width>
__device__ __forceinline__ void forward(const SiluForwardArguments& arguments) {
  for_each_pack<Width>(arguments.y.rows, arguments.y.channels, [&](int64_t r, int32_t c) {
    float x[Width];
    load(x, row<const T>(arguments.x, r) + c);
#pragma unroll
    for (int k = 0; k < Width; k++) x[k] = silu<T>(x[k]);
    store(row<T>(arguments.y, r) + c, x);
  });
}

template <typename T, int Width>
__device__ __forceinline__ void backward(const SiluBackwardArguments& arguments) {
  for_each_pack<Width>(arguments.dx.rows, arguments.dx.channels, [&](int64_t r, int32_t c) {
    float dy[Width], x[Width];
    load(dy, row<const T>(arguments.dy, r) + c);
    load(x, row<const T>(arguments.x, r) + c);
#pragma unroll
    for (int k = 0; k < Width; k++) dy[k] *= silu_slope<T>(x[k]);
    store(row<T>(arguments.dx, r) + c, dy);
  });
}

}  // namespace

#define DIFFUSE_IMAGES(suffix, T)                                                       \
  extern "C" __global__ void __launch_bounds__(kSiluThreads)                            \
      silu_forward_##suffix(const __grid_constant__ SiluForwardArguments arguments) {   \
    if (is_wide<kWide<T>>(arguments.y, arguments.x))                                    \
      forward<T, kWide<T>>(arguments);                                                  \
    else                                                                                \
      forward<T, 1>(arguments);                                                         \
  }                                                                                     \
  extern "C" __global__ void __launch_bounds__(kSiluThreads)                            \
      silu_backward_##suffix(const __grid_constant__ SiluBackwardArguments arguments) { \
    if (is_wide<kWide<T>>(arguments.dx, arguments.dy, arguments.x))                     \
      backward<T, kWide<T>>(arguments);                                                 \
    else                                                                                \
      backward<T, 1>(arguments);                                                        \
  }
DIFFUSE_IMAGES(f32, float)
DIFFUSE_IMAGES(bf16, bf16)

}  // namespace diffuse::cuda
