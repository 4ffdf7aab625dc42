// Dropout on the CPU (ops/dropout.h has the meaning).
#include "ops/dropout.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {

size_t dropout_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_same_shape("dropout", "y", y, x);
  return 0;
}

void dropout(const Call& call) {
  const auto& [y_, x_] = tensors<2>(call);
  const auto& [probability, seedLow, seedHigh, step, layer, sampleOffset] = attributes<6>(call);
  const Tensor &y = y_, &x = x_;
  if (!(probability >= 0 && probability < 1))
    fail("ERR_ARGUMENT", "dropout", "probability must be in [0, 1), got %g", probability);
  if (word("dropout", "layer", layer) >> 24) fail("ERR_ARGUMENT", "dropout", "layer must be below 2^24, got %g", layer);
  const double purpose = static_cast<double>(kPurposeDropout) + 256 * layer;
  const Stream stream = make_stream("dropout", seedLow, seedHigh, step, purpose, sampleOffset);
  const Vec threshold = splat(static_cast<float>(probability)),
            factor = splat(static_cast<float>(1 / (1 - probability)));
  with_images(x, [&](auto element) {
    using T = decltype(element);
    parallel_runs(call, samples(x), [&](int64_t n, int64_t first, int64_t count) {
      Run run = load_run(elements_of<T>(x, n), first, count);
      const Run draw = uniform_run(stream, n, first);
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) run.at[v] = draw.at[v] >= threshold ? run.at[v] * factor : zero();
      store_run(elements_of<T>(y, n), first, count, run);
    });
  });
}

}  // namespace diffuse::DIFFUSE_ISA
