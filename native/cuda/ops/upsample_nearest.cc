// Nearest-neighbour upsampling on the GPU (ops/upsample_nearest.h has the formulas, cuda/ops/upsample_nearest.cu the
// kernels).
#include "ops/upsample_nearest.h"

#include "cuda/arguments/upsample_nearest.h"
#include "cuda/ops/kernels.h"
#include "cuda/views.h"

namespace diffuse::cuda {
namespace {

void launch(const char* entry, const Tensor& small, const Tensor& large, Launcher& launcher) {
  UpsampleNearestArguments arguments{view(small), view(large), {1, 1, 1}, {1, 1, 1}};
  const int spatial = small.rank - 2;
  for (int i = 0; i < spatial; i++) {
    arguments.size[3 - spatial + i] = static_cast<int32_t>(small.shape[1 + i]);
    arguments.factor[3 - spatial + i] = static_cast<int32_t>(large.shape[1 + i] / small.shape[1 + i]);
  }
  launcher.launch("upsample_nearest", std::string(entry) + image_suffix(small),
                  grid_for_image(small, kUpsampleNearestThreads, launcher.limits()), kUpsampleNearestThreads,
                  arguments);
}

}  // namespace

size_t upsample_nearest_forward_scratch(const Call&, const Limits&) { return 0; }
void upsample_nearest_forward(const Call& call, Launcher& launcher) {
  launch("upsample_nearest_forward_", call.tensors[1], call.tensors[0], launcher);
}

size_t upsample_nearest_backward_scratch(const Call&, const Limits&) { return 0; }
void upsample_nearest_backward(const Call& call, Launcher& launcher) {
  launch("upsample_nearest_backward_", call.tensors[0], call.tensors[1], launcher);
}

}  // namespace diffuse::cuda
