// Weighted mean squared error on the CPU (ops/weighted_mse.h has the formulas).
#include "ops/weighted_mse.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {

size_t weighted_mse_forward_prepare(const Call& call) {
  const char* kernel = "weighted_mse_forward";
  const auto& [loss, perSample, prediction, target, weight] = tensors<5>(call);
  const int64_t N = prediction.shape[0];
  expect_rank(kernel, "prediction", prediction, 2, kMaxRank);
  expect_shape(kernel, "loss", loss, 1);
  expect_shape(kernel, "perSample", perSample, N);
  expect_same_shape(kernel, "target", target, prediction);
  expect_shape(kernel, "weight", weight, N);
  return sum_samples_bytes(N, prediction, target);
}

void weighted_mse_forward(const Call& call) {
  const auto& [loss, perSample_, prediction, target, weight_] = tensors<5>(call);
  const Tensor &perSample = perSample_, &weight = weight_;
  const int64_t N = prediction.shape[0];
  const double E = static_cast<double>(elements(prediction) / N);
  double sum = 0;
  const auto take = [&](int64_t n, double total) {
    f32(perSample)[n] = static_cast<float>(total / E);
    sum += f32(weight)[n] * (total / E);
  };
  const auto squared_error = [](VecDouble p, VecDouble t) { return (p - t) * (p - t); };
  sum_samples(call, N, take, squared_error, prediction, target);
  *f32(loss) = static_cast<float>(sum / static_cast<double>(N));
}

size_t weighted_mse_backward_prepare(const Call& call) {
  const char* kernel = "weighted_mse_backward";
  const auto& [dprediction, dloss, prediction, target, weight] = tensors<5>(call);
  expect_rank(kernel, "prediction", prediction, 2, kMaxRank);
  expect_same_shape(kernel, "dprediction", dprediction, prediction);
  expect_shape(kernel, "dloss", dloss, 1);
  expect_same_shape(kernel, "target", target, prediction);
  expect_shape(kernel, "weight", weight, prediction.shape[0]);
  return 0;
}

void weighted_mse_backward(const Call& call) {
  const auto& [dprediction_, dloss, prediction_, target_, weight_] = tensors<5>(call);
  const Tensor &dprediction = dprediction_, &prediction = prediction_, &target = target_, &weight = weight_;
  const double factor = 2.0 * *f32(dloss) / static_cast<double>(elements(prediction));
  const Sizes size = sizes(prediction);
  parallel_pixels(call, size, [&](int64_t n, int64_t begin, int64_t end) {
    const Vec own = splat(static_cast<float>(factor * f32(weight)[n]));
    for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
      for_each_panel(size.C, [&](auto panel, int64_t c) {
        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
            panel.store(row(dprediction, p) + c, v,
                        own * (panel.load(row(prediction, p) + c, v) - panel.load(row(target, p) + c, v)));
      });
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
