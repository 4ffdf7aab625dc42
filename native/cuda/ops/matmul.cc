// Matrix product on the GPU (ops/matmul.h).
#include "ops/matmul.h"

#include "cuda/arguments/matmul.h"
#include "cuda/ops/kernels.h"

namespace diffuse::cuda {

size_t matmul_scratch(const Call&, const Limits&) { return 0; }

void matmul(const Call& call, Launcher& launcher) {
  const auto& [c, a, b, transpose_a, transpose_b] = matmul_args(call);
  const MatmulArguments arguments{view(c), view(a), view(b), a.shape[transpose_a ? 0 : 1], transpose_a, transpose_b};
  launcher.launch("matmul", "matmul_f32", {blocks_of(c.shape[0], kMatmulTile), blocks_of(c.shape[1], kMatmulTile)},
                  kMatmulThreads, arguments);
}

}  // namespace diffuse::cuda
