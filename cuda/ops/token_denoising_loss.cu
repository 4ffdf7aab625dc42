// The loss of discrete diffusion (native/ops/token_denoising_loss.h has the formulas). A warp takes a token, its lanes
// the states in turns. Bound by float64: probabilities are computed anew in each pass, which takes no memory; logits
// are read from the caches again.
#include "common/failure.h"
#include "common/image.h"
#include "common/partials.h"
#include "common/softmax.h"
#include "cuda/arguments/token_denoising_loss.h"

namespace diffuse::cuda {
namespace {

// At once on a multiprocessor: without the number the compiler wants more of them and spills.
constexpr int kBlocks = 4;

constexpr int kWarps = kTokenDenoisingLossThreads / kWarp;

// One token: the two reverse steps, and what their divergence is.
struct Token {
  int32_t token, state;
  double keep, before;  // a, b
  double limit;         // m_j
  double stay;          // a / b
  bool masks;
  int32_t K, S;

  __device__ __forceinline__ double limit_of(int32_t k) const { return masks ? (k == K ? 1.0 : 0.0) : 1.0 / K; }
  __device__ __forceinline__ double evidence(int32_t x) const { return (x == state ? keep : 0.0) + (1 - keep) * limit; }
  __device__ __forceinline__ double forward(int32_t k) const { return (k == state ? stay : 0.0) + (1 - stay) * limit; }
  // The true reverse step.
  __device__ __forceinline__ double reverse(int32_t k) const {
    return forward(k) * ((k == token ? before : 0.0) + (1 - before) * limit_of(k)) / evidence(token);
  }
};

// The state that is told by the first number of a row that is not 0, or -1; by a warp.
__device__ __forceinline__ int32_t state_of_row(const float* x, int32_t S) {
  for (int32_t first = 0; first < S; first += kWarp) {
    const int32_t s = first + static_cast<int32_t>(threadIdx.x % kWarp);
    const unsigned found = __ballot_sync(kAllLanes, s < S && x[s] != 0);
    if (found) return first + __ffs(static_cast<int>(found)) - 1;
  }
  return -1;
}

// Token m with what is wrong with it: 0, or a code with its numbers.
struct Checked {
  Token token;
  int32_t code;
  double value, limit;
};

__device__ __forceinline__ Checked check(const TokenDenoisingLossArguments& arguments, int64_t m, int32_t state) {
  Checked result{};
  Token& at = result.token;
  at.K = arguments.logits.channels;
  at.S = arguments.xt.channels;
  at.masks = at.S > at.K;
  at.token = arguments.tokens[m];
  at.state = state;
  const float t = arguments.timestep[m / arguments.length];
  if (!(t >= 0 && t < static_cast<float>(arguments.levels))) {
    result.code = kNoTimestep;
    result.value = t;
    result.limit = arguments.levels;
    return result;
  }
  const int32_t step = static_cast<int32_t>(t);
  at.keep = arguments.keep[step];
  at.before = step == 0 ? 1.0 : arguments.keep[step - 1];
  at.stay = at.keep / at.before;
  if (at.token < 0 || at.token >= at.K) {
    result.code = kNoToken;
    result.value = at.token;
    result.limit = at.K;
    return result;
  }
  if (state >= 0) at.limit = at.limit_of(state);
  if (state < 0 || !(at.evidence(at.token) > 0)) {
    result.code = kImpossibleState;
    result.value = at.token;
    result.limit = state;
  }
  return result;
}

// Token m, by a warp. Where something is wrong with it that is reported, unless it is so with an earlier one, and
// false returned.
__device__ __forceinline__ bool find_token(const TokenDenoisingLossArguments& arguments, int64_t m, Token& token) {
  const View& xt = arguments.xt;
  const auto state_of = [&](int64_t i) { return state_of_row(row<const float>(xt, i), xt.channels); };
  const Checked found = check(arguments, m, state_of(m));
  token = found.token;
  if (found.code == 0) return true;
  for (int64_t i = 0; i < m; i++)
    if (check(arguments, i, state_of(i)).code != 0) return false;
  if (threadIdx.x % kWarp == 0)
    report(arguments.reporter, found.code, found.value, found.limit, static_cast<double>(m));
  return false;
}

// Σ r and Z: the probabilities over the evidence, and those that are possible.
struct Totals {
  double ratios, possible;
};
__device__ __forceinline__ Totals totals_of(const Token& at, const Softmax& p) {
  Totals totals{};
  for (int32_t x = threadIdx.x % kWarp; x < at.K; x += kWarp) {
    const double e = at.evidence(x);
    if (!(e > 0)) continue;
    const double probability = p.probability(x);
    totals.ratios += probability / e;
    totals.possible += probability;
  }
  return {warp_sum(totals.ratios), warp_sum(totals.possible)};
}

// P_k, the network's reverse step but for Z.
__device__ __forceinline__ double model(const Token& at, const Softmax& p, const Totals& totals, int32_t k) {
  const double e = k < at.K ? at.evidence(k) : 0.0, r = e > 0 ? p.probability(k) / e : 0.0;
  return at.forward(k) * (at.before * r + (1 - at.before) * at.limit_of(k) * totals.ratios);
}

__device__ __forceinline__ double divergence(const Token& at, const Softmax& p) {
  const Totals totals = totals_of(at, p);
  double sum = 0;
  for (int32_t k = threadIdx.x % kWarp; k < at.S; k += kWarp) {
    const double q = at.reverse(k);
    if (q != 0) sum += q * log(q * totals.possible / model(at, p, totals, k));
  }
  return warp_sum(sum);
}

// The slope of the divergence by p_x, given Σ_k q_k F_k (1 - b) m_k / P_k.
__device__ __forceinline__ double slope_of(const Token& at, const Softmax& p, const Totals& totals, double others,
                                           int32_t x) {
  const double e = at.evidence(x), q = at.reverse(x);
  if (!(e > 0)) return 0.0;
  const double own = q == 0 ? 0.0 : q * at.forward(x) * at.before / model(at, p, totals, x);
  return 1 / totals.possible - (own + others) / e;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kTokenDenoisingLossThreads, kBlocks)
    token_denoising_loss_forward_f32(const __grid_constant__ TokenDenoisingLossArguments arguments) {
  __shared__ double shared[2][kWarps];
  const int64_t m = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  double kl = 0, entropy = 0;
  Token at;
  if (m < arguments.logits.rows && find_token(arguments, m, at)) {
    const Softmax p = softmax(row<const float>(arguments.logits, m), at.K);
    entropy = p.largest + log(p.sum) - p.x[at.token];
    kl = divergence(at, p);
  }
  kl = fold_leaders<kTokenDenoisingLossThreads>(kl, shared[0]);
  entropy = fold_leaders<kTokenDenoisingLossThreads>(entropy, shared[1]);
  if (threadIdx.x > 0) return;
  arguments.partials[2 * blockIdx.x] = kl;
  arguments.partials[2 * blockIdx.x + 1] = entropy;
}

extern "C" __global__ void __launch_bounds__(kFinishThreads)
    token_denoising_loss_finish(const __grid_constant__ TokenDenoisingLossArguments arguments) {
  __shared__ double shared[2][kFinishWarps];
  const double tokens = static_cast<double>(arguments.logits.rows);
  const double kl = finish_partials(arguments.partials, arguments.blocks, 2, shared[0]) * (arguments.levels / tokens),
               entropy = finish_partials(arguments.partials + 1, arguments.blocks, 2, shared[1]) / tokens;
  if (threadIdx.x > 0) return;
  *arguments.bound = static_cast<float>(kl);
  *arguments.cross_entropy = static_cast<float>(entropy);
  *arguments.loss = static_cast<float>(kl + arguments.attributes[0] * entropy);
}

extern "C" __global__ void __launch_bounds__(kTokenDenoisingLossThreads, kBlocks)
    token_denoising_loss_backward_f32(const __grid_constant__ TokenDenoisingLossArguments arguments) {
  const int64_t m = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  Token at;
  if (m >= arguments.logits.rows || !find_token(arguments, m, at)) return;
  const int32_t lane = threadIdx.x % kWarp;
  const double factor = *arguments.dloss / static_cast<double>(arguments.logits.rows), weight = arguments.attributes[0];
  const Softmax p = softmax(row<const float>(arguments.logits, m), at.K);
  const Totals totals = totals_of(at, p);
  double others = 0;
  for (int32_t k = lane; k < at.S; k += kWarp) {
    const double q = at.reverse(k);
    if (q != 0) others += q * at.forward(k) * (1 - at.before) * at.limit_of(k) / model(at, p, totals, k);
  }
  others = warp_sum(others);
  float* dx = row<float>(arguments.dlogits, m);
  for (int32_t x = lane; x < at.K; x += kWarp) {
    const double probability = p.probability(x);
    const double bound = arguments.levels * probability * slope_of(at, p, totals, others, x);
    dx[x] = static_cast<float>(factor * (bound + weight * (probability - (x == at.token ? 1.0 : 0.0))));
  }
}

}  // namespace diffuse::cuda
