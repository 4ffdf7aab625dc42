// Elementwise arithmetic (native/ops/elementwise.h has the formulas). All of it is bound by bytes: 128-bit loads and
// stores where the views allow, as many blocks as fill the GPU, no shared memory.
// @promises ld.global.v4 st.global.v4
#include "common/image.h"
#include "common/pixels.h"
#include "cuda/arguments/elementwise.h"

namespace diffuse::cuda {
namespace {

// y = f(inputs...), N elements at a time.
template <int N, typename To, typename From, typename Function, typename... Inputs>
__device__ __forceinline__ void transform_packs(Function&& f, const View& y, const Inputs&... inputs) {
  for_each_pack<N>(y.rows, y.channels, [&](int64_t r, int32_t c) {
    const auto at = [&](const View& view) {
      Values<N> values;
      load(values.at, row<const From>(view, r) + c);
      return values;
    };
    store(row<To>(y, r) + c, f(r, c, at(inputs)...).at);
  });
}

}  // namespace
}  // namespace diffuse::cuda
