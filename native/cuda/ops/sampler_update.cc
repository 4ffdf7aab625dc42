// A sampler's step on the GPU (ops/sampler_update.h has the formula, cuda/ops/sampler_update.cu the kernel).
#include "ops/sampler_update.h"

#include "cuda/arguments/sampler_update.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"
#include "ops/random.h"

namespace diffuse::cuda {

size_t sampler_update_scratch(const Call&, const Limits&) { return 0; }

void sampler_update(const Call& call, Launcher& launcher) {
  const auto shown = [&](int index) { return sample_view(call.tensors[index]); };
  const Samples samples = samples_of(launcher, call.tensors[0]);
  const SamplerUpdateArguments arguments{shown(0),
                                         shown(1),
                                         shown(2),
                                         shown(3),
                                         shown(4),
                                         shown(5),
                                         shown(6),
                                         shown(7),
                                         shown(8),
                                         shown(9),
                                         samples,
                                         kPurposeSampleStep,
                                         launcher.attributes(),
                                         reporter(launcher)};
  launcher.launch("sampler_update", "sampler_update_f32",
                  grid_for_runs(samples, kSamplerUpdateThreads, launcher.limits()), kSamplerUpdateThreads, arguments);
}

}  // namespace diffuse::cuda
