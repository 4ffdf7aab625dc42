// Embedding on the GPU (ops/embedding.h has the formulas, cuda/ops/embedding.cu the kernels).
#include "ops/embedding.h"

#include "cuda/arguments/embedding.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/samples.h"

namespace diffuse::cuda {

size_t embedding_forward_scratch(const Call&, const Limits&) { return 0; }

void embedding_forward(const Call& call, Launcher& launcher) {
  const Tensor &y = call.tensors[0], &table = call.tensors[1], &index = call.tensors[2];
  launcher.launch("embedding", "embedding_forward_f32", grid_for(elements(y), kEmbeddingThreads, launcher.limits()),
                  kEmbeddingThreads, EmbeddingArguments{view(table), view(y), i32(index), reporter(launcher)});
}

size_t embedding_backward_scratch(const Call&, const Limits&) { return 0; }

void embedding_backward(const Call& call, Launcher& launcher) {
  const Tensor &dtable = call.tensors[0], &dy = call.tensors[1], &index = call.tensors[2];
  launcher.launch("embedding", "embedding_backward_f32",
                  {rows(dtable) * blocks_of(channels(dtable), kEmbeddingThreads)}, kEmbeddingThreads,
                  EmbeddingArguments{view(dtable), view(dy), i32(index), reporter(launcher)});
}

}  // namespace diffuse::cuda
