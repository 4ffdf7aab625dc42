// The loss of models that learn their variance, on the GPU (ops/hybrid_loss.h has the formulas,
// cuda/ops/hybrid_loss.cu the kernels).
#include "ops/hybrid_loss.h"

#include "cuda/arguments/hybrid_loss.h"
#include "cuda/chunks.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

// Of a chunk: few, since float64 takes its time.
constexpr int64_t kLeastElements = 512;

Chunks chunks_of(const Tensor& target) { return divide(elements(target) / target.shape[0], kLeastElements); }

// output, xt, target, weight, coefficients and importance follow one another in both signatures.
HybridLossArguments arguments_of(const Tensor* inputs, Launcher& launcher) {
  HybridLossArguments arguments{};
  arguments.output = view(inputs[0]);
  arguments.xt = view(inputs[1]);
  arguments.target = view(inputs[2]);
  arguments.weight = f32(inputs[3]);
  arguments.coefficients = view(inputs[4]);
  arguments.importance = f32(inputs[5]);
  arguments.samples = samples_of(launcher, inputs[2]);
  arguments.chunks = chunks_of(inputs[2]);
  arguments.attributes = launcher.attributes();
  return arguments;
}

}  // namespace

// Squares and bound of each chunk.
size_t hybrid_loss_forward_scratch(const Call& call, const Limits&) {
  const Tensor& target = call.tensors[5];
  return static_cast<size_t>(target.shape[0] * chunks_of(target).count) * 2 * sizeof(double);
}

void hybrid_loss_forward(const Call& call, Launcher& launcher) {
  HybridLossArguments arguments = arguments_of(call.tensors + 3, launcher);
  arguments.loss = f32(call.tensors[0]);
  arguments.per_sample = f32(call.tensors[1]);
  arguments.bound = f32(call.tensors[2]);
  arguments.partials = reinterpret_cast<double*>(launcher.scratch());
  launcher.launch("hybrid_loss", "hybrid_loss_forward_f32", {arguments.samples.count * arguments.chunks.count},
                  kHybridLossThreads, arguments);
  launcher.launch("hybrid_loss", "hybrid_loss_finish", {}, kFinishThreads, arguments);
}

size_t hybrid_loss_backward_scratch(const Call&, const Limits&) { return 0; }

void hybrid_loss_backward(const Call& call, Launcher& launcher) {
  HybridLossArguments arguments = arguments_of(call.tensors + 2, launcher);
  arguments.doutput = view(call.tensors[0]);
  arguments.dloss = f32(call.tensors[1]);
  launcher.launch("hybrid_loss", "hybrid_loss_backward_f32", {arguments.samples.count * arguments.chunks.count},
                  kHybridLossThreads, arguments);
}

}  // namespace diffuse::cuda
