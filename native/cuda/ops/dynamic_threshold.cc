// Dynamic thresholding on the GPU (ops/dynamic_threshold.h has the formula, cuda/ops/dynamic_threshold.cu the kernel).
#include "ops/dynamic_threshold.h"

#include "cuda/arguments/dynamic_threshold.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {

size_t dynamic_threshold_scratch(const Call&, const Limits&) { return 0; }

void dynamic_threshold(const Call& call, Launcher& launcher) {
  const Tensor &x0 = call.tensors[0], &x = call.tensors[1], &prediction = call.tensors[2];
  // A tensor of one dimension is one sample.
  const int64_t samples = x.rank > 1 ? x.shape[0] : 1;
  const auto [to, from, predicted] = views_of_rows(samples, x0, x, prediction);
  launcher.launch(
      "dynamic_threshold", "dynamic_threshold_f32", {samples}, kDynamicThresholdThreads,
      DynamicThresholdArguments{to, from, predicted, to.rows / samples, launcher.attributes(), reporter(launcher)});
}

}  // namespace diffuse::cuda
