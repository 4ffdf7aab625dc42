// What a self-conditioned network is told, on the GPU (ops/self_conditioning.h has the formula,
// cuda/ops/self_conditioning.cu the kernel).
#include "ops/self_conditioning.h"

#include "cuda/arguments/self_conditioning.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"
#include "ops/random.h"

namespace diffuse::cuda {

size_t self_conditioning_scratch(const Call&, const Limits&) { return 0; }

void self_conditioning(const Call& call, Launcher& launcher) {
  const Tensor &estimate = call.tensors[0], &xt = call.tensors[1], &prediction = call.tensors[2],
               &coefficients = call.tensors[3];
  const Samples samples = samples_of(launcher, xt);
  launcher.launch(
      "self_conditioning", "self_conditioning_f32", grid_for_runs(samples, kSelfConditioningThreads, launcher.limits()),
      kSelfConditioningThreads,
      SelfConditioningArguments{sample_view(estimate), sample_view(xt), sample_view(prediction), view(coefficients),
                                samples, kPurposeSelfConditioning, launcher.attributes(), reporter(launcher)});
}

}  // namespace diffuse::cuda
