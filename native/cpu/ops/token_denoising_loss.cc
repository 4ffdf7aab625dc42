// The loss of discrete diffusion on the CPU (ops/token_denoising_loss.h has the formulas).
#include "ops/token_denoising_loss.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// An exponential or logarithm in float64 costs about as much as this many other elements.
constexpr int64_t kExpCost = 16;

struct Inputs {
  const Tensor &logits, &tokens, &xt, &timestep, &keep;
  int64_t N, L, K, S, T;
};

Inputs prepare_inputs(const char* kernel, const Tensor& logits, const Tensor& tokens, const Tensor& xt,
                      const Tensor& timestep, const Tensor& keep) {
  expect_rank(kernel, "logits", logits, 3, 3);
  expect_rank(kernel, "xt", xt, 3, 3);
  const int64_t N = logits.shape[0], L = logits.shape[1], K = logits.shape[2], S = xt.shape[2], T = keep.shape[0];
  if (S != K && S != K + 1)
    fail("ERR_SHAPE", kernel, "xt has %lld states, expected the %lld tokens, or one more for the mask", (long long)S,
         (long long)K);
  expect_shape(kernel, "xt", xt, N, L, S);
  expect_shape(kernel, "tokens", tokens, N, L);
  expect_contiguous(kernel, "tokens", tokens);
  expect_shape(kernel, "timestep", timestep, N);
  expect_shape(kernel, "keep", keep, T);
  return {logits, tokens, xt, timestep, keep, N, L, K, S, T};
}

// One token: the two reverse steps, and what their divergence is.
struct Token {
  int64_t token, state;
  double keep, before;  // a, b
  double limit;         // m_j
  double stay;          // a / b
  bool masks;

  double limit_of(int64_t k, int64_t K) const { return masks ? (k == K ? 1.0 : 0.0) : 1.0 / static_cast<double>(K); }
  double evidence(int64_t x) const { return (x == state ? keep : 0.0) + (1 - keep) * limit; }
  double forward(int64_t k) const { return (k == state ? stay : 0.0) + (1 - stay) * limit; }
};

int64_t state_of(const float* x, int64_t S) {
  for (int64_t s = 0; s < S; s++)
    if (x[s] != 0) return s;
  return -1;
}

Token token_at(const char* kernel, const Inputs& in, int64_t m) {
  const float t = f32(in.timestep)[m / in.L];
  if (!(t >= 0 && t < static_cast<float>(in.T)))
    fail("ERR_ARGUMENT", kernel, "the timestep %g is not in [0, %lld)", static_cast<double>(t), (long long)in.T);
  const int64_t step = static_cast<int64_t>(t);
  Token at{};
  at.token = i32(in.tokens)[m];
  if (at.token < 0 || at.token >= in.K)
    fail("ERR_ARGUMENT", kernel, "token %lld is not in [0, %lld)", (long long)at.token, (long long)in.K);
  at.state = state_of(row(in.xt, m), in.S);
  at.masks = in.S > in.K;
  at.keep = f32(in.keep)[step];
  at.before = step == 0 ? 1.0 : f32(in.keep)[step - 1];
  at.stay = at.keep / at.before;
  if (at.state >= 0) at.limit = at.limit_of(at.state, in.K);
  if (at.state < 0 || !(at.evidence(at.token) > 0))
    fail("ERR_ARGUMENT", kernel, "token %lld cannot have become state %lld", (long long)at.token, (long long)at.state);
  return at;
}

// Softmax of K logits; returns -ln of that of the token.
double softmax(const float* x, int64_t K, int64_t token, double* p) {
  double largest = x[0], sum = 0;
  for (int64_t k = 1; k < K; k++) largest = x[k] > largest ? x[k] : largest;
  for (int64_t k = 0; k < K; k++) sum += p[k] = __builtin_exp(x[k] - largest);
  for (int64_t k = 0; k < K; k++) p[k] /= sum;
  return largest + __builtin_log(sum) - x[token];
}

// kl; with `slope`, also its slope by each p.
double divergence(const Token& at, int64_t K, int64_t S, const double* p, double* slope) {
  double total = 0, possible = 0;
  for (int64_t x = 0; x < K; x++) {
    const double e = at.evidence(x);
    if (e > 0) total += p[x] / e, possible += p[x];
  }
  double kl = 0, others = 0;
  if (slope)
    for (int64_t x = 0; x < K; x++) slope[x] = 0;
  for (int64_t k = 0; k < S; k++) {
    const double F = at.forward(k), m = at.limit_of(k, K);
    const double q = F * ((k == at.token ? at.before : 0.0) + (1 - at.before) * m) / at.evidence(at.token);
    if (q == 0) continue;
    const double e = k < K ? at.evidence(k) : 0.0, r = e > 0 ? p[k] / e : 0.0;
    const double P = F * (at.before * r + (1 - at.before) * m * total);
    kl += q * __builtin_log(q * possible / P);
    if (!slope) continue;
    if (e > 0) slope[k] = q * F * at.before / P;
    others += q * F * (1 - at.before) * m / P;
  }
  if (slope)
    for (int64_t x = 0; x < K; x++) {
      const double e = at.evidence(x);
      slope[x] = e > 0 ? 1 / possible - (slope[x] + others) / e : 0.0;
    }
  return kl;
}

}  // namespace

size_t token_denoising_loss_forward_prepare(const Call& call) {
  const char* kernel = "token_denoising_loss_forward";
  const auto& [loss, bound, crossEntropy, logits, tokens, xt, timestep, keep] = tensors<8>(call);
  expect_shape(kernel, "loss", loss, 1);
  expect_shape(kernel, "bound", bound, 1);
  expect_shape(kernel, "crossEntropy", crossEntropy, 1);
  const Inputs in = prepare_inputs(kernel, logits, tokens, xt, timestep, keep);
  // A row of probabilities, kl and cross-entropy of each token.
  return in.N * in.L * (in.K + 2) * sizeof(double);
}

void token_denoising_loss_forward(const Call& call) {
  const char* kernel = "token_denoising_loss_forward";
  const auto& [loss, bound, crossEntropy, logits, tokens, xt, timestep, keep] = tensors<8>(call);
  const auto& [crossEntropyWeight] = attributes<1>(call);
  const Inputs in = prepare_inputs(kernel, logits, tokens, xt, timestep, keep);
  const int64_t M = in.N * in.L;
  double* exact = reinterpret_cast<double*>(call.scratch);
  double* rows_of_p = exact + 2 * M;
  for (int64_t m = 0; m < M; m++) token_at(kernel, in, m);
  parallel_items(call, M, 3 * in.K * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const Token at = token_at(kernel, in, m);
      double* p = rows_of_p + m * in.K;
      exact[2 * m + 1] = softmax(row(in.logits, m), in.K, at.token, p);
      exact[2 * m] = divergence(at, in.K, in.S, p, nullptr);
    }
  });
  double kl = 0, entropy = 0;
  for (int64_t m = 0; m < M; m++) kl += exact[2 * m], entropy += exact[2 * m + 1];
  kl *= static_cast<double>(in.T) / static_cast<double>(M);
  entropy /= static_cast<double>(M);
  *f32(bound) = static_cast<float>(kl);
  *f32(crossEntropy) = static_cast<float>(entropy);
  *f32(loss) = static_cast<float>(kl + crossEntropyWeight * entropy);
}

size_t token_denoising_loss_backward_prepare(const Call& call) {
  const char* kernel = "token_denoising_loss_backward";
  const auto& [dlogits, dloss, logits, tokens, xt, timestep, keep] = tensors<7>(call);
  expect_same_shape(kernel, "dlogits", dlogits, logits);
  expect_shape(kernel, "dloss", dloss, 1);
  const Inputs in = prepare_inputs(kernel, logits, tokens, xt, timestep, keep);
  return in.N * in.L * 2 * in.K * sizeof(double);
}

void token_denoising_loss_backward(const Call& call) {
  const char* kernel = "token_denoising_loss_backward";
  const auto& [dlogits_, dloss, logits, tokens, xt, timestep, keep] = tensors<7>(call);
  const auto& [crossEntropyWeight] = attributes<1>(call);
  const Tensor& dlogits = dlogits_;
  const Inputs in = prepare_inputs(kernel, logits, tokens, xt, timestep, keep);
  const int64_t M = in.N * in.L, K = in.K;
  const double factor = *f32(dloss) / static_cast<double>(M), weight = crossEntropyWeight;
  for (int64_t m = 0; m < M; m++) token_at(kernel, in, m);
  parallel_items(call, M, 3 * K * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const Token at = token_at(kernel, in, m);
      double* p = reinterpret_cast<double*>(call.scratch) + 2 * m * K;
      double* slope = p + K;
      softmax(row(in.logits, m), K, at.token, p);
      divergence(at, K, in.S, p, slope);
      float* dx = row(dlogits, m);
      for (int64_t x = 0; x < K; x++) {
        const double bound = static_cast<double>(in.T) * p[x] * slope[x];
        dx[x] = static_cast<float>(factor * (bound + weight * (p[x] - (x == at.token ? 1.0 : 0.0))));
      }
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
