// Dropout on the GPU (ops/dropout.h has the meaning, cuda/ops/dropout.cu the kernel).
#include "ops/dropout.h"

#include "cuda/arguments/dropout.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"
#include "ops/random.h"

namespace diffuse::cuda {

size_t dropout_scratch(const Call&, const Limits&) { return 0; }

void dropout(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1];
  const Samples samples = samples_of(launcher, x);
  launcher.launch("dropout", std::string("dropout_") + image_suffix(y),
                  grid_for_runs(samples, kDropoutThreads, launcher.limits()), kDropoutThreads,
                  DropoutArguments{sample_view(y), sample_view(x), samples, kPurposeDropout, launcher.attributes(),
                                   reporter(launcher)});
}

}  // namespace diffuse::cuda
