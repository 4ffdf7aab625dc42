// Noising of tokens (native/ops/token_noising.h has the formulas). A warp takes 32 tokens: each lane draws the state of
// one, then all lanes write the rows one after the other. Bound by the bytes of xt.
#include "common/image.h"
#include "common/philox.h"
#include "common/warp.h"
#include "cuda/arguments/token_noising.h"

namespace diffuse::cuda {
namespace {

// What a block needs of the attributes, read once.
struct Draw {
  Stream timesteps, noises;
  int32_t mask;
};

__device__ __forceinline__ Draw draw_of(const TokenNoisingArguments& arguments) {
  const double mask = trunc(arguments.attributes[0]);
  if (!(mask >= -1 && mask < arguments.xt.channels)) report(arguments.reporter, kNoMask, mask, 0, 0);
  const Stream stream = make_stream(arguments.attributes, 1, arguments.noise_purpose, arguments.reporter);
  Stream timesteps = stream;
  timesteps.purpose = arguments.timestep_purpose;
  return {timesteps, stream, static_cast<int32_t>(mask)};
}

// The state that token m is in.
__device__ __forceinline__ int32_t state_of(const TokenNoisingArguments& arguments, const Draw& draw, int64_t m) {
  const int32_t S = arguments.xt.channels;
  const int64_t sample = m / arguments.length;
  const uint32_t n = static_cast<uint32_t>(sample), l = static_cast<uint32_t>(m % arguments.length);
  const int64_t t = uniform_below(philox_word(draw.timesteps, n, 0), arguments.levels);
  if (l == 0) arguments.timestep[sample] = static_cast<float>(t);
  const auto is_wrong = [&](int64_t i) { return arguments.tokens[i] < 0 || arguments.tokens[i] >= S; };
  if (is_wrong(m)) report_first(arguments.reporter, kNoState, arguments.tokens[m], S, m, is_wrong);
  const bool lost = uniform(philox_word(draw.noises, n, 2 * l)) >= arguments.keep[t];
  if (!lost) return arguments.tokens[m];
  if (draw.mask >= 0) return draw.mask;
  return static_cast<int32_t>(uniform_below(philox_word(draw.noises, n, 2 * l + 1), S));
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kTokenNoisingThreads)
    token_noising_f32(const __grid_constant__ TokenNoisingArguments arguments) {
  __shared__ Draw draw;
  if (threadIdx.x == 0) draw = draw_of(arguments);
  __syncthreads();
  const int32_t S = arguments.xt.channels, lane = threadIdx.x % kWarp;
  const int64_t tokens = arguments.xt.rows;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kTokenNoisingThreads + threadIdx.x) / kWarp * kWarp;
  const int32_t own = first + lane < tokens ? state_of(arguments, draw, first + lane) : 0;
  for (int i = 0; i < kWarp && first + i < tokens; i++) {
    const int32_t state = __shfl_sync(kAllLanes, own, i);
    float* x = row<float>(arguments.xt, first + i);
    for (int32_t s = lane; s < S; s += kWarp) x[s] = s == state ? 1.0f : 0.0f;
  }
}

}  // namespace diffuse::cuda
