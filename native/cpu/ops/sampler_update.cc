// A sampler's step on the CPU (ops/sampler_update.h has the formula).
#include "ops/sampler_update.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {

size_t sampler_update_prepare(const Call& call) {
  const char* kernel = "sampler_update";
  const auto& [xNext, x0, x, prediction, history, noise] = tensors<6>(call);
  expect_same_shape(kernel, "xNext", xNext, x);
  expect_same_shape(kernel, "x0", x0, x);
  expect_same_shape(kernel, "prediction", prediction, x);
  if (history.data) expect_same_shape(kernel, "history", history, x);
  if (noise.data) expect_same_shape(kernel, "noise", noise, x);
  return 0;
}

void sampler_update(const Call& call) {
  const char* kernel = "sampler_update";
  const auto& [xNext_, x0_, x_, prediction_, history_, noise_] = tensors<6>(call);
  const auto& [x0FromX, x0FromPrediction, clip, coefficientX, coefficientX0, coefficientPrediction, coefficientHistory,
               coefficientNoise, seedLow, seedHigh, step, sampleOffset] = attributes<12>(call);
  const Tensor &xNext = xNext_, &x0 = x0_, &x = x_, &prediction = prediction_, &history = history_, &noise = noise_;
  if (!(clip > 0)) fail("ERR_ARGUMENT", kernel, "clip must be above 0 (Infinity for none), got %g", clip);
  const Stream stream = make_stream(kernel, seedLow, seedHigh, step, kPurposeSampleStep, sampleOffset);
  const auto number = [](double value) { return splat(static_cast<float>(value)); };
  const Vec to_x0_x = number(x0FromX), to_x0_p = number(x0FromPrediction), limit = number(clip);
  const Vec c_x = number(coefficientX), c_x0 = number(coefficientX0), c_p = number(coefficientPrediction),
            c_history = number(coefficientHistory), c_noise = number(coefficientNoise);
  const bool noisy = coefficientNoise != 0;

  parallel_runs(call, samples(x), [&](int64_t n, int64_t first, int64_t count) {
    const Run at = load_run(elements_of(x, n), first, count), p = load_run(elements_of(prediction, n), first, count);
    Run next, estimate;
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) {
      // The operands' order lets NaN through.
      estimate.at[v] = min(limit, max(-limit, to_x0_x * at.at[v] + to_x0_p * p.at[v]));
      next.at[v] = c_x * at.at[v] + c_x0 * estimate.at[v] + c_p * p.at[v];
    }
    if (history.data) {
      const Run before = load_run(elements_of(history, n), first, count);
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) next.at[v] += c_history * before.at[v];
    }
    if (noisy) {
      const Run z = noise.data ? load_run(elements_of(noise, n), first, count) : normal_run(stream, n, first);
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) next.at[v] += c_noise * z.at[v];
    }
    store_run(elements_of(x0, n), first, count, estimate);
    store_run(elements_of(xNext, n), first, count, next);
  });
}

}  // namespace diffuse::DIFFUSE_ISA
