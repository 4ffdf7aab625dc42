// Scale and shift on the CPU (ops/scale_shift.h has the formulas).
#include "ops/scale_shift.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {

size_t scale_shift_forward_prepare(const Call& call) {
  const auto& [y, x, scaleShift] = tensors<3>(call);
  expect_rank("scale_shift_forward", "x", x, 2, kMaxRank);
  expect_same_shape("scale_shift_forward", "y", y, x);
  expect_shape("scale_shift_forward", "scaleShift", scaleShift, x.shape[0], 2 * channels(x));
  return 0;
}

void scale_shift_forward(const Call& call) {
  const auto& [y, x, scaleShift] = tensors<3>(call);
  const int64_t C = channels(x);
  transform_pixels(
      call, [](Vec x, Vec scale, Vec shift) { return madd(x, splat(1.0f) + scale, shift); }, y, x,
      [&s = scaleShift](int64_t n) { return row(s, n); }, [&s = scaleShift, C](int64_t n) { return row(s, n) + C; });
}

size_t scale_shift_backward_prepare(const Call& call) {
  const auto& [dx, dscaleShift, dy, x, scaleShift] = tensors<5>(call);
  expect_rank("scale_shift_backward", "x", x, 2, kMaxRank);
  expect_same_shape("scale_shift_backward", "dx", dx, x);
  expect_same_shape("scale_shift_backward", "dy", dy, x);
  expect_shape("scale_shift_backward", "scaleShift", scaleShift, x.shape[0], 2 * channels(x));
  expect_same_shape("scale_shift_backward", "dscaleShift", dscaleShift, scaleShift);
  return 0;
}

namespace {

template <typename T>
DIFFUSE_INLINE void backward(const Call& call) {
  const auto& [dxs, dscaleShift, dys, xs, scaleShift] = tensors<5>(call);
  const Tensor &dx = dxs, &dy = dys, &x = xs;
  const Sizes size = sizes(x);
  const auto channel_range = [&, &ss = scaleShift, &dss = dscaleShift](int64_t n, int64_t first, int64_t last) {
    for_each_panel(last - first, [&](auto panel, int64_t c) {
      constexpr int V = panel.vectors;
      c += first;
      Vec factor[V];
      DIFFUSE_UNROLL for (int v = 0; v < V; v++) factor[v] = splat(1.0f) + panel.load(row(ss, n) + c, v);
      double dscale[V * kLanes] = {}, dshift[V * kLanes] = {};
      for (int64_t block = 0; block < size.P; block += kBlockPixels) {
        Vec sum[V] = {}, product[V] = {};
        for (int64_t p = block; p < smaller(block + kBlockPixels, size.P); p++) {
          const int64_t r = n * size.P + p;
          DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
            const Vec g = panel.load(row<T>(dy, r) + c, v);
            product[v] = madd(g, panel.load(row<T>(x, r) + c, v), product[v]);
            sum[v] += g;
            panel.store(row<T>(dx, r) + c, v, g * factor[v]);
          }
        }
        add_to(dscale, product);
        add_to(dshift, sum);
      }
      for (int64_t k = 0; k < panel.channels; k++) {
        row(dss, n)[c + k] = static_cast<float>(dscale[k]);
        row(dss, n)[size.C + c + k] = static_cast<float>(dshift[k]);
      }
    });
  };
  parallel_channels(call, size, 1, channel_range);
}

}  // namespace

void scale_shift_backward(const Call& call) {
  with_images(call.tensors[0], [&](auto element) { backward<decltype(element)>(call); });
}

}  // namespace diffuse::DIFFUSE_ISA
