// Time embeddings (native/ops/time_embedding.h has the formulas), in float64. A thread computes the sine and the cosine
// of one frequency of one sample; N · D is small, so the launch takes longer than the work.
#include "common/failure.h"
#include "common/image.h"
#include "cuda/arguments/time_embedding.h"

namespace diffuse::cuda {
namespace {

constexpr double kTwoPi = 6.283185307179586, kTwoPiRest = 2.4492935982947064e-16, kInverseTwoPi = 0.15915494309189535,
                 kInversePi = 0.3183098861837907;

// sin and cos up to angles of some 2^50. The library's sine of any angle has a table and a call in it; its sine of
// multiples of π has neither, and what whole turns leave is one.
__device__ __forceinline__ void wave(double angle, double& sine, double& cosine) {
  const double turns = rint(angle * kInverseTwoPi);
  sincospi(fma(-turns, kTwoPiRest, fma(-turns, kTwoPi, angle)) * kInversePi, &sine, &cosine);
}

// y[n] = sines and cosines of angle(n, i), i in [0, K), and 0 in the last channel where their number may be odd.
template <bool MayBeOdd, typename Angle>
__device__ __forceinline__ void write_waves(const View& y, bool cosines_first, Angle&& angle) {
  const int32_t K = y.channels / 2, columns = MayBeOdd ? K + y.channels % 2 : K;
  const int64_t threads = gridDim.x * blockDim.x;
  for (int64_t at = blockIdx.x * blockDim.x + threadIdx.x; at < y.rows * columns; at += threads) {
    const int64_t n = at / columns;
    const int32_t i = static_cast<int32_t>(at % columns);
    float* to = row<float>(y, n);
    if (MayBeOdd && i == K) {
      to[2 * K] = 0;
      continue;
    }
    double sine, cosine;
    wave(angle(n, i), sine, cosine);
    to[cosines_first ? K + i : i] = static_cast<float>(sine);
    to[cosines_first ? i : K + i] = static_cast<float>(cosine);
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kTimeEmbeddingThreads)
    time_embedding_forward_f32(const __grid_constant__ TimeEmbeddingArguments arguments) {
  const double shift = arguments.attributes[0], period = arguments.attributes[2];
  const double K = arguments.y.channels / 2;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    if (!(period > 0)) report(arguments.reporter, kPeriodNotPositive, period, 0, 2);
    if (K > 0 && !(shift < K)) report(arguments.reporter, kShiftTooLarge, shift, arguments.y.channels, 0);
  }
  const double slope = -log(period), steps = K - shift;
  write_waves<true>(arguments.y, arguments.attributes[1] != 0,
                    [&](int64_t n, int32_t i) { return exp(slope * i / steps) * arguments.t[n]; });
}

extern "C" __global__ void __launch_bounds__(kTimeEmbeddingThreads)
    fourier_embedding_forward_f32(const __grid_constant__ TimeEmbeddingArguments arguments) {
  write_waves<false>(arguments.y, arguments.attributes[0] != 0, [&](int64_t n, int32_t i) {
    return kTwoPi * arguments.frequencies[i] * log(static_cast<double>(arguments.t[n]));
  });
}

}  // namespace diffuse::cuda
