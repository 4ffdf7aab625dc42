// The optimizer on the GPU (ops/optimizer.h has the formulas, cuda/ops/optimizer.cu the kernels).
#include "ops/optimizer.h"

#include "cuda/arguments/optimizer.h"
#include "cuda/chunks.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

constexpr int64_t kLeastElements = 16384;  // of a chunk
constexpr uintptr_t kPackBytes = 16;

Chunks chunks_of(const Tensor& gradient) { return divide(elements(gradient), kLeastElements); }

template <typename... Pointers>
bool are_aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % kPackBytes == 0) && ...);
}

}  // namespace

size_t gradient_norm_scratch(const Call& call, const Limits&) {
  return static_cast<size_t>(chunks_of(call.tensors[1]).count) * sizeof(double);
}

void gradient_norm(const Call& call, Launcher& launcher) {
  const Tensor &norm = call.tensors[0], &gradient = call.tensors[1];
  const GradientNormArguments arguments{f32(gradient),
                                        elements(gradient),
                                        are_aligned(f32(gradient)),
                                        f32(norm),
                                        reinterpret_cast<double*>(launcher.scratch()),
                                        chunks_of(gradient)};
  launcher.launch("optimizer", "gradient_norm_f32", {arguments.chunks.count}, kOptimizerThreads, arguments);
  launcher.launch("optimizer", "gradient_norm_finish", {}, kFinishThreads, arguments);
}

size_t adamw_ema_scratch(const Call&, const Limits&) { return 0; }

void adamw_ema(const Call& call, Launcher& launcher) {
  const auto at = [&](int index) { return f32(call.tensors[index]); };
  AdamwEmaArguments arguments{};
  arguments.parameter = at(0);
  arguments.first_moment = at(1);
  arguments.second_moment = at(2);
  arguments.ema = at(3);
  arguments.gradient = at(4);
  arguments.norm = at(5);
  arguments.count = elements(call.tensors[0]);
  arguments.aligned = are_aligned(at(0), at(1), at(2), at(3), at(4));
  arguments.attributes = launcher.attributes();
  arguments.reporter = reporter(launcher);
  launcher.launch("optimizer", "adamw_ema_f32",
                  grid_for(blocks_of(arguments.count, 4), kOptimizerThreads, launcher.limits()), kOptimizerThreads,
                  arguments);
}

}  // namespace diffuse::cuda
