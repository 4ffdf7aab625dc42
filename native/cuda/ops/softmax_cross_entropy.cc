// Softmax cross-entropy on the GPU (ops/softmax_cross_entropy.h has the formulas, cuda/ops/softmax_cross_entropy.cu the
// kernels).
#include "ops/softmax_cross_entropy.h"

#include "cuda/arguments/softmax_cross_entropy.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

// A warp takes a row.
int64_t blocks_for(const Tensor& logits) { return blocks_of(rows(logits), kSoftmaxCrossEntropyThreads / 32); }

}  // namespace

size_t softmax_cross_entropy_forward_scratch(const Call& call, const Limits&) {
  return static_cast<size_t>(blocks_for(call.tensors[3])) * sizeof(double);
}

void softmax_cross_entropy_forward(const Call& call, Launcher& launcher) {
  const Tensor &loss = call.tensors[0], &per_row = call.tensors[1], &correct = call.tensors[2],
               &logits = call.tensors[3], &labels = call.tensors[4];
  SoftmaxCrossEntropyArguments arguments{};
  arguments.logits = view(logits);
  arguments.labels = i32(labels);
  arguments.loss = f32(loss);
  arguments.per_row = f32(per_row);
  arguments.correct = f32(correct);
  arguments.partials = reinterpret_cast<double*>(launcher.scratch());
  arguments.blocks = blocks_for(logits);
  arguments.reporter = reporter(launcher);
  launcher.launch("softmax_cross_entropy", "softmax_cross_entropy_forward_f32", {arguments.blocks},
                  kSoftmaxCrossEntropyThreads, arguments);
  launcher.launch("softmax_cross_entropy", "softmax_cross_entropy_finish", {}, kFinishThreads, arguments);
}

size_t softmax_cross_entropy_backward_scratch(const Call&, const Limits&) { return 0; }

void softmax_cross_entropy_backward(const Call& call, Launcher& launcher) {
  const Tensor &dlogits = call.tensors[0], &dloss = call.tensors[1], &logits = call.tensors[2],
               &labels = call.tensors[3];
  SoftmaxCrossEntropyArguments arguments{};
  arguments.logits = view(logits);
  arguments.dlogits = view(dlogits);
  arguments.labels = i32(labels);
  arguments.dloss = f32(dloss);
  arguments.reporter = reporter(launcher);
  launcher.launch("softmax_cross_entropy", "softmax_cross_entropy_backward_f32", {blocks_for(logits)},
                  kSoftmaxCrossEntropyThreads, arguments);
}

}  // namespace diffuse::cuda
