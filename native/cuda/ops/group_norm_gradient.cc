// The gradient of group normalisation on the GPU (ops/group_norm.h has the formulas, cuda/ops/group_norm_gradient.cu
// the kernels).
#include "cuda/arguments/group_norm_gradient.h"

#include "cuda/norm.h"
#include "cuda/ops/kernels.h"
#include "cuda/tiling.h"

namespace diffuse::cuda {

constexpr char kImage[] = "group_norm_gradient";

size_t normalise_backward_scratch(const Call&, const Limits&) { return 0; }

void normalise_backward(const Call& call, Launcher& launcher) {
  const Tensor &dz = call.tensors[0], &sums = call.tensors[1], &dy = call.tensors[2], &x = call.tensors[3];
  NormaliseBackwardArguments arguments{};
  arguments.dz = view(dz);
  arguments.sums = view(sums);
  arguments.dy = view(dy);
  arguments.x = view(x);
  arguments.norm = norm_arguments(call.tensors + 4);
  arguments.tiling = tile_chunks(x, common_width({&dy, &dz, &x}), static_cast<int64_t>(call.attributes[1]));
  arguments.silu = call.attributes[0] != 0;
  launcher.launch(kImage, std::string("normalise_backward_") + image_suffix(x),
                  grid_of(arguments.tiling, samples_of(x)), kTilingThreads, arguments);
}

size_t group_norm_gradient_scratch(const Call& call, const Limits&) {
  const Tensor& sums = call.tensors[4];
  return sizeof(double) * static_cast<size_t>(kChannelTotals * sums.shape[0] * channels(sums));
}

void group_norm_gradient(const Call& call, Launcher& launcher) {
  const Tensor *t = call.tensors, &sums = t[4], &mean = t[5], &moments = t[8];
  const int64_t N = sums.shape[0], C = channels(sums), groups = mean.shape[1], group_channels = C / groups;
  GroupNormGradientArguments arguments{};
  arguments.coefficients = f32(t[0]);
  arguments.dgamma = f32(t[1]);
  arguments.dbeta = f32(t[2]);
  arguments.pixel_sums = view(t[3]);
  arguments.sums = view(sums);
  arguments.moments = view(moments);
  arguments.mean = f32(mean);
  arguments.rstd = f32(t[6]);
  arguments.gamma = f32(t[7]);
  arguments.totals = reinterpret_cast<double*>(launcher.scratch());
  arguments.samples = N;
  arguments.pixels = static_cast<int64_t>(call.attributes[0]);
  arguments.chunk = static_cast<int64_t>(call.attributes[1]);
  arguments.chunks = sums.shape[1];
  arguments.channels = static_cast<int32_t>(C);
  arguments.groups = static_cast<int32_t>(groups);
  arguments.group_channels = static_cast<int32_t>(group_channels);
  arguments.columns = 1;
  while (arguments.columns < 32 && arguments.columns < group_channels) arguments.columns *= 2;
  launcher.launch(kImage, "group_norm_gradient", {N * groups}, kGroupThreads, arguments);
  launcher.launch(kImage, "group_norm_gradient_parameters", grid_of_columns(1, 2 * C), kTilingThreads, arguments);
}

size_t normalise_gradient_scratch(const Call&, const Limits&) { return 0; }

void normalise_gradient(const Call& call, Launcher& launcher) {
  const Tensor &dx = call.tensors[0], &dz = call.tensors[1], &x = call.tensors[2], &addend = call.tensors[4];
  NormaliseGradientArguments arguments{};
  arguments.dx = view(dx);
  arguments.dz = view(dz);
  arguments.x = view(x);
  arguments.addend = view(addend);
  arguments.coefficients = f32(call.tensors[3]);
  arguments.tiling = tile(x, common_width({&dx, &dz, &x, &addend}), launcher.limits());
  launcher.launch(kImage, std::string("normalise_gradient_") + image_suffix(x),
                  grid_of(arguments.tiling, samples_of(x)), threads_of(arguments.tiling), arguments);
}

}  // namespace diffuse::cuda
