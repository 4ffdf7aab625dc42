// Time embeddings on the CPU (ops/time_embedding.h has the formulas). N · D is small: one thread, float64.
#include "ops/time_embedding.h"

#include <math.h>

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// One column of sines and one of cosines: those of phase(n).
template <typename Phase>
DIFFUSE_INLINE void write_wave(const Tensor& y, int64_t i, int64_t K, bool cosines_first, Phase&& phase) {
  for (int64_t n = 0; n < y.shape[0]; n++) {
    const double angle = phase(n);
    row(y, n)[cosines_first ? K + i : i] = static_cast<float>(::sin(angle));
    row(y, n)[cosines_first ? i : K + i] = static_cast<float>(::cos(angle));
  }
}

}  // namespace

size_t time_embedding_forward_prepare(const Call& call) {
  const auto& [y, t] = tensors<2>(call);
  expect_rank("time_embedding_forward", "y", y, 2, 2);
  expect_shape("time_embedding_forward", "t", t, y.shape[0]);
  return 0;
}

void time_embedding_forward(const Call& call) {
  const char* kernel = "time_embedding_forward";
  const auto& [y_, t_] = tensors<2>(call);
  const auto& [frequencyShift, flipSinToCos, maxPeriod] = attributes<3>(call);
  const Tensor &y = y_, &t = t_;
  const int64_t D = channels(y), K = D / 2;
  if (!(maxPeriod > 0)) fail("ERR_ARGUMENT", kernel, "maxPeriod must be above 0, got %g", maxPeriod);
  if (K > 0 && !(frequencyShift < static_cast<double>(K)))
    fail("ERR_ARGUMENT", kernel, "frequencyShift must be below half the %lld channels, got %g", (long long)D,
         frequencyShift);
  for (int64_t i = 0; i < K; i++) {
    const double frequency =
        ::exp(-::log(maxPeriod) * static_cast<double>(i) / (static_cast<double>(K) - frequencyShift));
    write_wave(y, i, K, flipSinToCos != 0, [&](int64_t n) { return frequency * f32(t)[n]; });
  }
  for (int64_t n = 0; D % 2 && n < y.shape[0]; n++) row(y, n)[D - 1] = 0;
}

size_t fourier_embedding_forward_prepare(const Call& call) {
  const char* kernel = "fourier_embedding_forward";
  const auto& [y, t, frequencies] = tensors<3>(call);
  expect_rank(kernel, "frequencies", frequencies, 1, 1);
  expect_rank(kernel, "t", t, 1, 1);
  expect_shape(kernel, "y", y, t.shape[0], 2 * frequencies.shape[0]);
  return 0;
}

void fourier_embedding_forward(const Call& call) {
  const auto& [y_, t_, frequencies_] = tensors<3>(call);
  const Tensor &y = y_, &t = t_, &frequencies = frequencies_;
  const int64_t K = frequencies.shape[0];
  for (int64_t i = 0; i < K; i++) {
    const double frequency = kTwoPi * f32(frequencies)[i];
    write_wave(y, i, K, call.attributes[0] != 0,
               [&](int64_t n) { return frequency * ::log(static_cast<double>(f32(t)[n])); });
  }
}

}  // namespace diffuse::DIFFUSE_ISA
