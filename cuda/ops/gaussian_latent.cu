// The latent of a variational autoencoder (native/ops/gaussian_latent.h has the formulas). Bound by the exponential in
// float64, which costs some twenty instructions of that width; latents are small.
#include "common/image.h"
#include "common/partials.h"
#include "cuda/arguments/gaussian_latent.h"

namespace diffuse::cuda {
namespace {

constexpr double kLowest = -30, kHighest = 20;

__device__ __forceinline__ double clamped(double l) { return l < kLowest ? kLowest : l > kHighest ? kHighest : l; }

}  // namespace

// A block sums the divergences of one chunk of all elements.
extern "C" __global__ void __launch_bounds__(kGaussianLatentThreads)
    gaussian_latent_forward_f32(const __grid_constant__ GaussianLatentArguments arguments) {
  __shared__ double shared[kGaussianLatentThreads / kWarp];
  const View& z = arguments.z;
  const int32_t C = z.channels;
  const int64_t begin = blockIdx.x * arguments.chunks.size, end = min(begin + arguments.chunks.size, z.rows * C);
  double sum = 0;
  for (int64_t at = begin + threadIdx.x; at < end; at += kGaussianLatentThreads) {
    const int64_t m = at / C;
    const int32_t c = static_cast<int32_t>(at % C);
    const float* moments = row<const float>(arguments.moments, m);
    const double mean = moments[c], l = clamped(moments[C + c]), deviation = exp(l / 2);
    row<float>(z, m)[c] = static_cast<float>(mean + deviation * row<const float>(arguments.noise, m)[c]);
    sum += (mean * mean + deviation * deviation - 1 - l) / 2;
  }
  sum = fold_block<kGaussianLatentThreads>(sum, shared);
  if (threadIdx.x == 0) arguments.partials[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(kFinishThreads)
    gaussian_latent_finish(const __grid_constant__ GaussianLatentArguments arguments) {
  __shared__ double shared[kFinishWarps];
  const double sum = finish_partials(arguments.partials, arguments.chunks.count, 1, shared);
  if (threadIdx.x == 0) *arguments.kl = static_cast<float>(sum / static_cast<double>(arguments.samples));
}

extern "C" __global__ void __launch_bounds__(kGaussianLatentThreads)
    gaussian_latent_backward_f32(const __grid_constant__ GaussianLatentArguments arguments) {
  const View& dz = arguments.dz;
  const int32_t C = dz.channels;
  const double factor = *arguments.dkl / static_cast<double>(arguments.samples);
  const int64_t threads = gridDim.x * blockDim.x;
  for (int64_t at = blockIdx.x * blockDim.x + threadIdx.x; at < dz.rows * C; at += threads) {
    const int64_t m = at / C;
    const int32_t c = static_cast<int32_t>(at % C);
    const float* moments = row<const float>(arguments.moments, m);
    const double mean = moments[c], given = moments[C + c], l = clamped(given), deviation = exp(l / 2);
    const float gradient = row<const float>(dz, m)[c], noise = row<const float>(arguments.noise, m)[c];
    const double by_l = __fmul_rn(gradient, noise) * deviation / 2 + factor * (deviation * deviation - 1) / 2;
    float* to = row<float>(arguments.dmoments, m);
    to[c] = static_cast<float>(gradient + factor * mean);
    to[C + c] = l == given ? static_cast<float>(by_l) : 0.0f;
  }
}

}  // namespace diffuse::cuda
