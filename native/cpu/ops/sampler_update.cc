// A sampler's step on the CPU (ops/sampler_update.h has the formula).
#include "ops/sampler_update.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {

size_t sampler_update_prepare(const Call& call) {
  const char* kernel = "sampler_update";
  const auto& [xNext, x0, historyNext, olderNext, x, prediction, history, older, noise, variance] = tensors<10>(call);
  expect_same_shape(kernel, "xNext", xNext, x);
  expect_same_shape(kernel, "x0", x0, x);
  expect_same_shape(kernel, "prediction", prediction, x);
  const auto expect_like_x = [&, &x = x](const char* name, const Tensor& tensor) {
    if (tensor.data) expect_same_shape(kernel, name, tensor, x);
  };
  expect_like_x("historyNext", historyNext);
  expect_like_x("olderNext", olderNext);
  expect_like_x("history", history);
  expect_like_x("older", older);
  expect_like_x("noise", noise);
  expect_like_x("variance", variance);
  if (olderNext.data && !history.data) fail("ERR_ARGUMENT", kernel, "olderNext needs history");
  return 0;
}

void sampler_update(const Call& call) {
  const char* kernel = "sampler_update";
  const auto& [xNext_, x0_, historyNext_, olderNext_, x_, prediction_, history_, older_, noise_, variance_] =
      tensors<10>(call);
  const auto& [x0FromX, x0FromPrediction, clip, coefficientX, coefficientX0, coefficientPrediction, coefficientHistory,
               coefficientOlder, coefficientNoise, historyFromX, historyFromX0, logVarianceLow, logVarianceHigh,
               seedLow, seedHigh, step, sampleOffset] = attributes<17>(call);
  const Tensor &xNext = xNext_, &x0 = x0_, &historyNext = historyNext_, &olderNext = olderNext_, &x = x_,
               &prediction = prediction_, &history = history_, &older = older_, &noise = noise_, &variance = variance_;
  if (!(clip > 0)) fail("ERR_ARGUMENT", kernel, "clip must be above 0 (Infinity for none), got %g", clip);
  const Stream stream = make_stream(kernel, seedLow, seedHigh, step, kPurposeSampleStep, sampleOffset);
  const auto number = [](double value) { return splat(static_cast<float>(value)); };
  const Vec to_x0_x = number(x0FromX), to_x0_p = number(x0FromPrediction), limit = number(clip);
  const Vec c_x = number(coefficientX), c_x0 = number(coefficientX0), c_p = number(coefficientPrediction),
            c_history = number(coefficientHistory), c_older = number(coefficientOlder),
            c_noise = number(coefficientNoise);
  const Vec memory_x = number(historyFromX), memory_x0 = number(historyFromX0);
  // log variance / 2 = middle + v slope
  const Vec middle = number((logVarianceLow + logVarianceHigh) / 4),
            slope = number((logVarianceHigh - logVarianceLow) / 4);
  const bool noisy = coefficientNoise != 0;

  parallel_runs(call, samples(x), [&](int64_t n, int64_t first, int64_t count) {
    // Everything is read before anything is written: outputs may be inputs.
    const auto run_of = [&](const Tensor& tensor) { return load_run(elements_of(tensor, n), first, count); };
    const Run at = run_of(x), p = run_of(prediction);
    Run next, estimate, before, memory;
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) {
      // The operands' order lets NaN through.
      estimate.at[v] = min(limit, max(-limit, to_x0_x * at.at[v] + to_x0_p * p.at[v]));
      next.at[v] = c_x * at.at[v] + c_x0 * estimate.at[v] + c_p * p.at[v];
      memory.at[v] = memory_x * at.at[v] + memory_x0 * estimate.at[v];
    }
    if (history.data) {
      before = run_of(history);
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) next.at[v] += c_history * before.at[v];
    }
    if (older.data) {
      const Run last = run_of(older);
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) next.at[v] += c_older * last.at[v];
    }
    if (noisy) {
      Run z = noise.data ? run_of(noise) : normal_run(stream, n, first);
      if (variance.data) {
        const Run share = run_of(variance);
        DIFFUSE_UNROLL for (int v = 0; v < 4; v++) z.at[v] *= exp(madd(share.at[v], slope, middle));
      }
      DIFFUSE_UNROLL for (int v = 0; v < 4; v++) next.at[v] += c_noise * z.at[v];
    }
    store_run(elements_of(x0, n), first, count, estimate);
    store_run(elements_of(xNext, n), first, count, next);
    if (olderNext.data) store_run(elements_of(olderNext, n), first, count, before);
    if (historyNext.data) store_run(elements_of(historyNext, n), first, count, memory);
  });
}

}  // namespace diffuse::DIFFUSE_ISA
