// The latent of a variational autoencoder on the GPU (ops/gaussian_latent.h has the formulas,
// cuda/ops/gaussian_latent.cu the kernels).
#include "ops/gaussian_latent.h"

#include "cuda/arguments/gaussian_latent.h"
#include "cuda/chunks.h"
#include "cuda/ops/kernels.h"
#include "cuda/views.h"

namespace diffuse::cuda {
namespace {

// Of a chunk: few, since float64 takes its time.
constexpr int64_t kLeastElements = 512;

Chunks chunks_of(const Tensor& z) { return divide(elements(z), kLeastElements); }

}  // namespace

size_t gaussian_latent_forward_scratch(const Call& call, const Limits&) {
  return static_cast<size_t>(chunks_of(call.tensors[0]).count) * sizeof(double);
}

void gaussian_latent_forward(const Call& call, Launcher& launcher) {
  const Tensor &z = call.tensors[0], &kl = call.tensors[1], &moments = call.tensors[2], &noise = call.tensors[3];
  GaussianLatentArguments arguments{};
  arguments.z = view(z);
  arguments.moments = view(moments);
  arguments.noise = view(noise);
  arguments.samples = z.shape[0];
  arguments.kl = f32(kl);
  arguments.partials = reinterpret_cast<double*>(launcher.scratch());
  arguments.chunks = chunks_of(z);
  launcher.launch("gaussian_latent", "gaussian_latent_forward_f32", {arguments.chunks.count}, kGaussianLatentThreads,
                  arguments);
  launcher.launch("gaussian_latent", "gaussian_latent_finish", {}, kFinishThreads, arguments);
}

size_t gaussian_latent_backward_scratch(const Call&, const Limits&) { return 0; }

void gaussian_latent_backward(const Call& call, Launcher& launcher) {
  const Tensor &dmoments = call.tensors[0], &dz = call.tensors[1], &dkl = call.tensors[2], &moments = call.tensors[3],
               &noise = call.tensors[4];
  GaussianLatentArguments arguments{};
  arguments.dz = view(dz);
  arguments.moments = view(moments);
  arguments.dmoments = view(dmoments);
  arguments.noise = view(noise);
  arguments.samples = dz.shape[0];
  arguments.dkl = f32(dkl);
  launcher.launch("gaussian_latent", "gaussian_latent_backward_f32",
                  grid_for(elements(dz), kGaussianLatentThreads, launcher.limits()), kGaussianLatentThreads, arguments);
}

}  // namespace diffuse::cuda
