// Random tensors on the GPU (ops/random.h defines the numbers, cuda/ops/random.cu makes them).
#include "ops/random.h"

#include "cuda/arguments/random.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

void launch(const char* entry, const Call& call, Launcher& launcher) {
  const Tensor& y = call.tensors[0];
  const Samples samples = samples_of(launcher, y);
  launcher.launch("random", entry, grid_for_runs(samples, kRandomThreads, launcher.limits()), kRandomThreads,
                  RandomArguments{sample_view(y), samples, launcher.attributes(), reporter(launcher)});
}

}  // namespace

size_t random_normal_scratch(const Call&, const Limits&) { return 0; }
void random_normal(const Call& call, Launcher& launcher) { launch("random_normal_f32", call, launcher); }

size_t random_uniform_scratch(const Call&, const Limits&) { return 0; }
void random_uniform(const Call& call, Launcher& launcher) { launch("random_uniform_f32", call, launcher); }

}  // namespace diffuse::cuda
