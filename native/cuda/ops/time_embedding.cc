// Time embeddings on the GPU (ops/time_embedding.h has the formulas, cuda/ops/time_embedding.cu the kernels).
#include "ops/time_embedding.h"

#include "cuda/arguments/time_embedding.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {
namespace {

void launch(const char* entry, const Tensor& y, const Tensor& t, const float* frequencies, Launcher& launcher) {
  launcher.launch("time_embedding", entry,
                  grid_for(rows(y) * blocks_of(channels(y), 2), kTimeEmbeddingThreads, launcher.limits()),
                  kTimeEmbeddingThreads,
                  TimeEmbeddingArguments{view(y), f32(t), frequencies, launcher.attributes(), reporter(launcher)});
}

}  // namespace

size_t time_embedding_forward_scratch(const Call&, const Limits&) { return 0; }
void time_embedding_forward(const Call& call, Launcher& launcher) {
  launch("time_embedding_forward_f32", call.tensors[0], call.tensors[1], nullptr, launcher);
}

size_t fourier_embedding_forward_scratch(const Call&, const Limits&) { return 0; }
void fourier_embedding_forward(const Call& call, Launcher& launcher) {
  launch("fourier_embedding_forward_f32", call.tensors[0], call.tensors[1], f32(call.tensors[2]), launcher);
}

}  // namespace diffuse::cuda
