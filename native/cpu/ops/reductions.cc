// Sums on the CPU (ops/reductions.h has the formulas).
#include "ops/reductions.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {

// --- sum_pixels

size_t sum_pixels_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_rank("sum_pixels", "x", x, 2, kMaxRank);
  expect_shape("sum_pixels", "y", y, x.shape[0], channels(x));
  return 0;
}

void sum_pixels(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  const Sizes size = sizes(x);
  with_images(x, [&, &y = y, &x = x](auto element) {
    using T = decltype(element);
    parallel_channels(call, size, 1, [&](int64_t n, int64_t first, int64_t last) {
      for_each_panel(last - first, [&](auto panel, int64_t c) {
        double total[panel.vectors * kLanes] = {};
        for (int64_t block = 0; block < size.P; block += kBlockPixels) {
          Vec sum[panel.vectors] = {};
          for (int64_t p = block; p < smaller(block + kBlockPixels, size.P); p++) {
            const T* at = row<T>(x, n * size.P + p) + first + c;
            DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++) sum[v] += panel.load(at, v);
          }
          add_to(total, sum);
        }
        for (int64_t k = 0; k < panel.channels; k++) row(y, n)[first + c + k] = static_cast<float>(total[k]);
      });
    });
  });
}

// --- sum_samples

size_t sum_samples_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_rank("sum_samples", "x", x, 2, kMaxRank);
  expect_shape("sum_samples", "y", y, x.shape[0]);
  return sum_samples_bytes(x.shape[0], x);
}

void sum_samples(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  float* result = f32(y);
  sum_samples(
      call, x.shape[0], [=](int64_t n, double total) { result[n] = static_cast<float>(total); },
      [](VecDouble x) { return x; }, x);
}

// --- sum

size_t sum_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_shape("sum", "y", y, 1);
  return sum_samples_bytes(1, x);
}

void sum(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  float* result = f32(y);
  sum_samples(
      call, 1, [=](int64_t, double total) { *result = static_cast<float>(total); }, [](VecDouble x) { return x; }, x);
}

}  // namespace diffuse::DIFFUSE_ISA
