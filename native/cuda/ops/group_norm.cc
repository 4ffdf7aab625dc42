// Group normalisation on the GPU, forward (ops/group_norm.h has the formulas, cuda/ops/group_norm.cu the kernels).
#include "ops/group_norm.h"

#include "cuda/arguments/group_norm.h"
#include "cuda/norm.h"
#include "cuda/ops/kernels.h"
#include "cuda/tiling.h"

namespace diffuse::cuda {

size_t channel_moments_scratch(const Call&, const Limits&) { return 0; }

void channel_moments(const Call& call, Launcher& launcher) {
  const Tensor &moments = call.tensors[0], &x = call.tensors[1];
  ChannelMomentsArguments arguments{};
  arguments.moments = view(moments);
  arguments.x = view(x);
  arguments.tiling = tile_chunks(x, common_width({&x}), static_cast<int64_t>(call.attributes[0]));
  launcher.launch("group_norm", std::string("channel_moments_") + image_suffix(x),
                  grid_of(arguments.tiling, samples_of(x)), kTilingThreads, arguments);
}

size_t group_norm_statistics_scratch(const Call&, const Limits&) { return 0; }

void group_norm_statistics(const Call& call, Launcher& launcher) {
  const Tensor &mean = call.tensors[0], &rstd = call.tensors[1], &moments = call.tensors[2];
  const int64_t N = mean.shape[0], groups = mean.shape[1];
  GroupNormStatisticsArguments arguments{};
  arguments.mean = f32(mean);
  arguments.rstd = f32(rstd);
  arguments.moments = view(moments);
  arguments.attributes = launcher.attributes();
  arguments.pixels = static_cast<int64_t>(call.attributes[1]);
  arguments.chunk = static_cast<int64_t>(call.attributes[2]);
  arguments.chunks = moments.shape[1];
  arguments.groups = static_cast<int32_t>(groups);
  arguments.group_channels = static_cast<int32_t>(channels(moments) / groups);
  launcher.launch("group_norm", "group_norm_statistics", {N * groups}, kStatisticsThreads, arguments);
}

size_t normalise_forward_scratch(const Call&, const Limits&) { return 0; }

void normalise_forward(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &x = call.tensors[1];
  NormaliseForwardArguments arguments{};
  arguments.y = view(y);
  arguments.x = view(x);
  arguments.norm = norm_arguments(call.tensors + 2);
  arguments.tiling = tile(x, common_width({&y, &x}), launcher.limits());
  arguments.silu = call.attributes[0] != 0;
  launcher.launch("group_norm", std::string("normalise_forward_") + image_suffix(x),
                  grid_of(arguments.tiling, samples_of(x)), threads_of(arguments.tiling), arguments);
}

}  // namespace diffuse::cuda
