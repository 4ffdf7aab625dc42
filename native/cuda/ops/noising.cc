// Noising of a training batch on the GPU (ops/noising.h has the formulas, cuda/ops/noising.cu the kernels).
#include "ops/noising.h"

#include "cuda/arguments/noising.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"
#include "ops/random.h"

namespace diffuse::cuda {

// Levels and shifts of all samples.
size_t noising_scratch(const Call& call, const Limits&) {
  const Tensor& images = call.tensors[5];
  return static_cast<size_t>(images.shape[0]) *
         (sizeof(NoiseLevel) + sizeof(float) * static_cast<size_t>(channels(images)));
}

void noising(const Call& call, Launcher& launcher) {
  const Tensor *t = call.tensors, &images = t[5];
  const Samples samples = samples_of(launcher, images);
  auto* levels = reinterpret_cast<NoiseLevel*>(launcher.scratch());
  NoisingArguments arguments{};
  arguments.xt = sample_view(t[0]);
  arguments.target = sample_view(t[1]);
  arguments.timestep = view(t[2]);
  arguments.weight = view(t[3]);
  arguments.extra = view(t[4]);
  arguments.images = sample_view(images);
  arguments.table = view(t[6]);
  arguments.level = view(t[7]);
  arguments.samples = samples;
  arguments.channels = static_cast<int32_t>(channels(images));
  arguments.width = images.rank > 2 ? static_cast<int32_t>(images.shape[images.rank - 2]) : 0;
  arguments.levels = levels;
  arguments.shifts = reinterpret_cast<float*>(levels + samples.count);
  arguments.timestep_purpose = kPurposeTimestep;
  arguments.flip_purpose = kPurposeFlip;
  arguments.noise_purpose = kPurposeNoise;
  arguments.offset_purpose = kPurposeOffsetNoise;
  arguments.attributes = launcher.attributes();
  arguments.reporter = reporter(launcher);
  launcher.launch("noising", "noising_levels",
                  grid_for(samples.count * blocks_of(channels(images), 4), kNoisingThreads, launcher.limits()),
                  kNoisingThreads, arguments);
  launcher.launch("noising", images.dtype == DType::u8 ? "noising_u8" : "noising_f32",
                  grid_for_runs(samples, kNoisingThreads, launcher.limits()), kNoisingThreads, arguments);
}

}  // namespace diffuse::cuda
