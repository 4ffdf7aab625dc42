// Weighted mean squared error on the GPU (ops/weighted_mse.h has the formulas, cuda/ops/weighted_mse.cu the kernels).
#include "ops/weighted_mse.h"

#include "cuda/arguments/weighted_mse.h"
#include "cuda/chunks.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

constexpr int64_t kLeastElements = 8192;  // of a chunk

Chunks chunks_of(const Tensor& prediction) {
  return divide(elements(prediction) / prediction.shape[0], kLeastElements);
}

}  // namespace

size_t weighted_mse_forward_scratch(const Call& call, const Limits&) {
  const Tensor& prediction = call.tensors[2];
  return static_cast<size_t>(prediction.shape[0] * chunks_of(prediction).count) * sizeof(double);
}

void weighted_mse_forward(const Call& call, Launcher& launcher) {
  const Tensor &loss = call.tensors[0], &per_sample = call.tensors[1], &prediction = call.tensors[2],
               &target = call.tensors[3], &weight = call.tensors[4];
  WeightedMseArguments arguments{};
  arguments.prediction = sample_view(prediction);
  arguments.target = sample_view(target);
  arguments.samples = samples_of(launcher, prediction);
  arguments.weight = f32(weight);
  arguments.loss = f32(loss);
  arguments.per_sample = f32(per_sample);
  arguments.partials = reinterpret_cast<double*>(launcher.scratch());
  arguments.chunks = chunks_of(prediction);
  launcher.launch("weighted_mse", "weighted_mse_forward_f32", {arguments.samples.count * arguments.chunks.count},
                  kWeightedMseThreads, arguments);
  launcher.launch("weighted_mse", "weighted_mse_finish", {}, kFinishThreads, arguments);
}

size_t weighted_mse_backward_scratch(const Call&, const Limits&) { return 0; }

void weighted_mse_backward(const Call& call, Launcher& launcher) {
  const Tensor &dprediction = call.tensors[0], &dloss = call.tensors[1], &prediction = call.tensors[2],
               &target = call.tensors[3], &weight = call.tensors[4];
  WeightedMseArguments arguments{};
  arguments.dprediction = sample_view(dprediction);
  arguments.prediction = sample_view(prediction);
  arguments.target = sample_view(target);
  arguments.samples = samples_of(launcher, prediction);
  arguments.weight = f32(weight);
  arguments.dloss = f32(dloss);
  launcher.launch("weighted_mse", "weighted_mse_backward_f32",
                  grid_for_runs(arguments.samples, kWeightedMseThreads, launcher.limits()), kWeightedMseThreads,
                  arguments);
}

}  // namespace diffuse::cuda
