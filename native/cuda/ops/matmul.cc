// Matrix product on the GPU (ops/matmul.h).
#include "ops/matmul.h"

#include "cuda/arguments/matmul.h"
#include "cuda/ops/kernels.h"
#include "cuda/ops/small_matmul.h"

namespace diffuse::cuda {

size_t matmul_scratch(const Call&, const Limits&) { return 0; }

void matmul(const Call& call, Launcher& launcher) {
  const auto& [c, a, b, transpose_a, transpose_b] = matmul_args(call);
  const MatmulArguments arguments{view(c), view(a), view(b), a.shape[transpose_a ? 0 : 1], transpose_a, transpose_b};
  if (is_small_product(c.shape[0], c.shape[1], arguments.inner))
    return launch_small_product({arguments, nullptr, {}, nullptr}, launcher);
  launcher.launch("matmul", "matmul_f32", {blocks_of(c.shape[0], kMatmulTile), blocks_of(c.shape[1], kMatmulTile)},
                  kMatmulThreads, arguments);
}

}  // namespace diffuse::cuda
