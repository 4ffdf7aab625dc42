// The latent of a variational autoencoder on the CPU (ops/gaussian_latent.h has the formulas).
#include "ops/gaussian_latent.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// An exponential in float64 costs about as much as this many other elements.
constexpr int64_t kExpCost = 16;

constexpr double kLowest = -30, kHighest = 20;

double clamped(double l) { return l < kLowest ? kLowest : l > kHighest ? kHighest : l; }

// moments [N, ..., 2C] beside something [N, ..., C].
void expect_moments(const char* kernel, const char* name, const Tensor& moments, const Tensor& latent) {
  bool fits = moments.rank == latent.rank && channels(moments) == 2 * channels(latent);
  for (int i = 0; fits && i < latent.rank - 1; i++) fits = moments.shape[i] == latent.shape[i];
  if (!fits)
    fail("ERR_SHAPE", kernel, "%s has shape %s, expected %s with twice the channels", name, describe(moments).text,
         describe(latent).text);
}

}  // namespace

size_t gaussian_latent_forward_prepare(const Call& call) {
  const char* kernel = "gaussian_latent_forward";
  const auto& [z, kl, moments, noise] = tensors<4>(call);
  expect_rank(kernel, "z", z, 2, kMaxRank);
  expect_shape(kernel, "kl", kl, 1);
  expect_moments(kernel, "moments", moments, z);
  expect_same_shape(kernel, "noise", noise, z);
  return rows(z) * sizeof(double);
}

void gaussian_latent_forward(const Call& call) {
  const auto& [z_, kl, moments_, noise_] = tensors<4>(call);
  const Tensor &z = z_, &moments = moments_, &noise = noise_;
  const int64_t M = rows(z), C = channels(z);
  double* row_kl = reinterpret_cast<double*>(call.scratch);
  parallel_items(call, M, C * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const float* mean = row(moments, m);
      row_kl[m] = 0;
      for (int64_t c = 0; c < C; c++) {
        const double mu = mean[c], l = clamped(mean[C + c]), deviation = __builtin_exp(l / 2);
        row(z, m)[c] = static_cast<float>(mu + deviation * row(noise, m)[c]);
        row_kl[m] += (mu * mu + deviation * deviation - 1 - l) / 2;
      }
    }
  });
  double sum = 0;
  for (int64_t m = 0; m < M; m++) sum += row_kl[m];
  *f32(kl) = static_cast<float>(sum / static_cast<double>(z.shape[0]));
}

size_t gaussian_latent_backward_prepare(const Call& call) {
  const char* kernel = "gaussian_latent_backward";
  const auto& [dmoments, dz, dkl, moments, noise] = tensors<5>(call);
  expect_rank(kernel, "dz", dz, 2, kMaxRank);
  expect_shape(kernel, "dkl", dkl, 1);
  expect_moments(kernel, "moments", moments, dz);
  expect_same_shape(kernel, "dmoments", dmoments, moments);
  expect_same_shape(kernel, "noise", noise, dz);
  return 0;
}

void gaussian_latent_backward(const Call& call) {
  const auto& [dmoments_, dz_, dkl, moments_, noise_] = tensors<5>(call);
  const Tensor &dmoments = dmoments_, &dz = dz_, &moments = moments_, &noise = noise_;
  const int64_t M = rows(dz), C = channels(dz);
  const double factor = *f32(dkl) / static_cast<double>(dz.shape[0]);
  parallel_items(call, M, C * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const float *mean = row(moments, m), *dlatent = row(dz, m);
      float* dmean = row(dmoments, m);
      for (int64_t c = 0; c < C; c++) {
        const double mu = mean[c], given = mean[C + c], l = clamped(given), deviation = __builtin_exp(l / 2);
        const double dl = dlatent[c] * row(noise, m)[c] * deviation / 2 + factor * (deviation * deviation - 1) / 2;
        dmean[c] = static_cast<float>(dlatent[c] + factor * mu);
        dmean[C + c] = l == given ? static_cast<float>(dl) : 0.0f;
      }
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
