// What a self-conditioned network is told, on the CPU (ops/self_conditioning.h has the formula).
#include "ops/self_conditioning.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {

size_t self_conditioning_prepare(const Call& call) {
  const char* kernel = "self_conditioning";
  const auto& [estimate, xt, prediction, coefficients] = tensors<4>(call);
  expect_rank(kernel, "xt", xt, 2, kMaxRank);
  expect_same_shape(kernel, "estimate", estimate, xt);
  expect_same_shape(kernel, "prediction", prediction, xt);
  expect_shape(kernel, "coefficients", coefficients, xt.shape[0], 2);
  return 0;
}

void self_conditioning(const Call& call) {
  const char* kernel = "self_conditioning";
  const auto& [estimate_, xt_, prediction_, coefficients_] = tensors<4>(call);
  const auto& [clip, seedLow, seedHigh, step, sampleOffset] = attributes<5>(call);
  const Tensor &estimate = estimate_, &xt = xt_, &prediction = prediction_, &coefficients = coefficients_;
  if (!(clip > 0)) fail("ERR_ARGUMENT", kernel, "clip must be above 0 (Infinity for none), got %g", clip);
  const Stream stream = make_stream(kernel, seedLow, seedHigh, step, kPurposeSelfConditioning, sampleOffset);
  const Vec limit = splat(static_cast<float>(clip));
  parallel_runs(call, samples(xt), [&](int64_t n, int64_t first, int64_t count) {
    Run told = {};
    if (philox_word(stream, static_cast<uint32_t>(n), 0) >> 31) {
      const float* factors = row(coefficients, n);
      const Run x = load_run(elements_of(xt, n), first, count), p = load_run(elements_of(prediction, n), first, count);
      // The operands' order lets NaN through.
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) told.at[v] =
          min(limit, max(-limit, splat(factors[0]) * x.at[v] + splat(factors[1]) * p.at[v]));
    }
    store_run(elements_of(estimate, n), first, count, told);
  });
}

}  // namespace diffuse::DIFFUSE_ISA
