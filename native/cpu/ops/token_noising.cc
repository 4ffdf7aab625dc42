// Noising of tokens on the CPU (ops/token_noising.h has the formulas).
#include "ops/token_noising.h"

#include "cpu/expect.h"
#include "cpu/philox.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// A word of Philox costs about as much as this many elements.
constexpr int64_t kWordCost = 32;

// floor(count u) without rounding, where u is the upper 24 bits of a word over 2^24.
int64_t uniform_below(uint32_t word, int64_t count) {
  return static_cast<int64_t>(static_cast<uint64_t>(word >> 8) * static_cast<uint64_t>(count) >> 24);
}

}  // namespace

size_t token_noising_prepare(const Call& call) {
  const char* kernel = "token_noising";
  const auto& [xt, timestep, tokens, keep] = tensors<4>(call);
  expect_rank(kernel, "xt", xt, 3, 3);
  expect_shape(kernel, "tokens", tokens, xt.shape[0], xt.shape[1]);
  expect_contiguous(kernel, "tokens", tokens);
  expect_shape(kernel, "timestep", timestep, xt.shape[0]);
  expect_shape(kernel, "keep", keep, keep.shape[0]);
  return 0;
}

void token_noising(const Call& call) {
  const char* kernel = "token_noising";
  const auto& [xt_, timestep_, tokens_, keep_] = tensors<4>(call);
  const auto& [mask_, seedLow, seedHigh, step, sampleOffset] = attributes<5>(call);
  const Tensor &xt = xt_, &timestep = timestep_, &tokens = tokens_, &keep = keep_;
  const int64_t L = xt.shape[1], S = xt.shape[2], T = keep.shape[0], mask = static_cast<int64_t>(mask_);
  if (mask < -1 || mask >= S) fail("ERR_ARGUMENT", kernel, "the mask %lld is no state", (long long)mask);
  for (int64_t m = 0; m < elements(tokens); m++)
    if (i32(tokens)[m] < 0 || i32(tokens)[m] >= S)
      fail("ERR_ARGUMENT", kernel, "token %d is not one of the states 0 to %lld", i32(tokens)[m], (long long)(S - 1));
  const Stream timesteps = make_stream(kernel, seedLow, seedHigh, step, kPurposeTimestep, sampleOffset),
               noises = make_stream(kernel, seedLow, seedHigh, step, kPurposeNoise, sampleOffset);
  for (int64_t n = 0; n < xt.shape[0]; n++)
    f32(timestep)[n] = static_cast<float>(uniform_below(philox_word(timesteps, static_cast<uint32_t>(n), 0), T));
  parallel_items(call, xt.shape[0] * L, 2 * kWordCost + S, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; m++) {
      const auto n = static_cast<uint32_t>(m / L), l = static_cast<uint32_t>(m % L);
      const float survives = f32(keep)[static_cast<int64_t>(f32(timestep)[n])];
      const bool lost = static_cast<float>(philox_word(noises, n, 2 * l) >> 8) * 0x1p-24f >= survives;
      const int64_t elsewhere = mask >= 0 ? mask : uniform_below(philox_word(noises, n, 2 * l + 1), S);
      const int64_t state = lost ? elsewhere : i32(tokens)[m];
      float* x = row(xt, m);
      for (int64_t s = 0; s < S; s++) x[s] = s == state ? 1.0f : 0.0f;
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
