// Attention, forward (native/ops/attention.h has the formulas, cuda/attention the algorithms).
// @promises mma.sync ldmatrix ldmatrix.trans cp.async ld.global.v4 st.global.v4
#include "attention/matrix_forward.h"
#include "attention/vector_forward.h"

namespace diffuse::cuda {

// Entries say for how many blocks a multiprocessor their registers have to do: where it is not said, the compiler would
// rather spill than let go of one.
#define DIFFUSE_MATRIX_FORWARD(D, blocks, suffix, T)                                                         \
  extern "C" __global__ void __launch_bounds__(matrix_forward_threads(D, sizeof(T)), blocks)                 \
      attention_forward_matrix_##D##_##suffix(const __grid_constant__ AttentionForwardArguments arguments) { \
    matrix_forward<T, D>(arguments);                                                                         \
  }
DIFFUSE_MATRIX_FORWARD(64, 3, bf16, bf16)
DIFFUSE_MATRIX_FORWARD(128, 2, bf16, bf16)
DIFFUSE_MATRIX_FORWARD(256, 1, bf16, bf16)
DIFFUSE_MATRIX_FORWARD(64, 3, tf32, float)
DIFFUSE_MATRIX_FORWARD(128, 1, tf32, float)

// For so many columns of the outputs a block, in slices of 64.
#define DIFFUSE_VECTOR_FORWARD(columns, blocks, suffix, T)                                                         \
  extern "C" __global__ void __launch_bounds__(kVectorThreads, blocks)                                             \
      attention_forward_vector_##columns##_##suffix(const __grid_constant__ AttentionForwardArguments arguments) { \
    vector_forward<T, columns / kVectorRows>(arguments);                                                           \
  }
DIFFUSE_VECTOR_FORWARD(64, 2, f32, float)
DIFFUSE_VECTOR_FORWARD(256, 1, f32, float)
DIFFUSE_VECTOR_FORWARD(256, 1, bf16, bf16)

}  // namespace diffuse::cuda
