// The optimizer on the CPU (ops/optimizer.h has the formulas).
#include "ops/optimizer.h"

#include <math.h>

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {

// --- gradient_norm

size_t gradient_norm_prepare(const Call& call) {
  const auto& [norm, gradient] = tensors<2>(call);
  expect_shape("gradient_norm", "norm", norm, 1);
  expect_rank("gradient_norm", "gradient", gradient, 1, 1);
  return sum_samples_bytes(1, gradient);
}

void gradient_norm(const Call& call) {
  const auto& [norm, gradient] = tensors<2>(call);
  float* result = f32(norm);
  const auto take = [=](int64_t, double total) { *result = static_cast<float>(::sqrt(total)); };
  sum_samples(
      call, 1, take, [](VecDouble g) { return g * g; }, gradient);
}

// --- adamw_ema

namespace {

// Elements a task: long runs, so that nine streams of memory keep their pages.
constexpr int64_t kOptimizerGrain = 65536;

struct AdamW {
  Vec gradient_factor, keep, beta1, one_minus_beta1, beta2, one_minus_beta2, root_correction, epsilon, step, ema_step;
};

template <typename Panel>
DIFFUSE_INLINE void update(Panel panel, const AdamW& a, float* parameter, float* m, float* v, float* ema,
                           const float* gradient) {
  DIFFUSE_UNROLL for (int i = 0; i < Panel::vectors; i++) {
    const Vec g = panel.load(gradient, i) * a.gradient_factor;
    const Vec first = madd(a.beta1, panel.load(m, i), a.one_minus_beta1 * g);
    const Vec second = madd(a.beta2, panel.load(v, i), a.one_minus_beta2 * g * g);
    const Vec denominator = madd(sqrt(second), a.root_correction, a.epsilon);
    const Vec p = nmadd(a.step, first / denominator, a.keep * panel.load(parameter, i));
    panel.store(m, i, first);
    panel.store(v, i, second);
    panel.store(parameter, i, p);
    if (ema) {
      const Vec average = panel.load(ema, i);
      panel.store(ema, i, madd(a.ema_step, p - average, average));
    }
  }
}

}  // namespace

size_t adamw_ema_prepare(const Call& call) {
  const char* kernel = "adamw_ema";
  const auto& [parameter, firstMoment, secondMoment, ema, gradient, norm] = tensors<6>(call);
  expect_rank(kernel, "parameter", parameter, 1, 1);
  expect_same_shape(kernel, "firstMoment", firstMoment, parameter);
  expect_same_shape(kernel, "secondMoment", secondMoment, parameter);
  if (ema.data) expect_same_shape(kernel, "ema", ema, parameter);
  expect_same_shape(kernel, "gradient", gradient, parameter);
  expect_shape(kernel, "norm", norm, 1);
  return 0;
}

void adamw_ema(const Call& call) {
  const char* kernel = "adamw_ema";
  const auto& [parameter, firstMoment, secondMoment, ema, gradient, norm] = tensors<6>(call);
  const auto& [learningRate, beta1, beta2, epsilon, weightDecay, biasCorrection1, biasCorrection2, clipNorm, emaDecay,
               gradientScale] = attributes<10>(call);
  if (!(biasCorrection1 > 0 && biasCorrection2 > 0))
    fail("ERR_ARGUMENT", kernel, "bias corrections must be above 0 (1 - beta^t, t = 1, 2, ...), got %g and %g",
         biasCorrection1, biasCorrection2);
  if (!(clipNorm >= 0)) fail("ERR_ARGUMENT", kernel, "clipNorm must be 0 (none) or more, got %g", clipNorm);
  const double length = *f32(norm);
  if (!isfinite(length)) return;
  double factor = gradientScale;
  if (clipNorm > 0 && clipNorm < length * gradientScale + 1e-6) factor *= clipNorm / (length * gradientScale + 1e-6);
  const auto number = [](double value) { return splat(static_cast<float>(value)); };
  const AdamW coefficients{number(factor),
                           number(1 - learningRate * weightDecay),
                           number(beta1),
                           number(1 - beta1),
                           number(beta2),
                           number(1 - beta2),
                           number(1 / ::sqrt(biasCorrection2)),
                           number(epsilon),
                           number(learningRate / biasCorrection1),
                           number(1 - emaDecay)};
  float *p = f32(parameter), *m = f32(firstMoment), *v = f32(secondMoment), *average = f32(ema);
  const float* g = f32(gradient);
  parallel_ranges(call, channels(parameter), kOptimizerGrain, [&](int64_t begin, int64_t end) {
    for_each_panel(end - begin, [&](auto panel, int64_t c) {
      c += begin;
      update(panel, coefficients, p + c, m + c, v + c, average ? average + c : nullptr, g + c);
    });
  });
}

}  // namespace diffuse::DIFFUSE_ISA
