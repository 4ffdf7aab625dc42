// SiLU on the GPU (ops/silu.h has the formulas, cuda/ops/silu.cu the kernels).
#include "ops/silu.h"

#include "cuda/arguments/silu.h"
#include "cuda/ops/kernels.h"
#include "cuda/views.h"

namespace diffuse::cuda {

size_t silu_forward_scratch(const Call&, const Limits&) { return 0; }

void silu_forward(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1];
  const auto [to, from] = flat_views(y, x);
  launcher.launch("silu", std::string("silu_forward_") + image_suffix(y),
                  grid_for_image(y, kSiluThreads, launcher.limits()), kSiluThreads, SiluForwardArguments{to, from});
}

size_t silu_backward_scratch(const Call&, const Limits&) { return 0; }

void silu_backward(const Call& call, Launcher& launcher) {
  const Tensor &dx = call.tensors[0], &dy = call.tensors[1], &x = call.tensors[2];
  const auto [to, gradient, from] = flat_views(dx, dy, x);
  launcher.launch("silu", std::string("silu_backward_") + image_suffix(dx),
                  grid_for_image(dx, kSiluThreads, launcher.limits()), kSiluThreads,
                  SiluBackwardArguments{to, gradient, from});
}

}  // namespace diffuse::cuda
