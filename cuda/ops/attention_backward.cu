// Attention, backward (native/ops/attention.h has the formulas, cuda/attention the algorithms).
// @promises mma.sync ldmatrix ldmatrix.trans cp.async ld.global.v4 st.global.v4 shfl.sync
// @moves 32 attention_delta
#include "attention/matrix_backward.h"
#include "attention/vector_backward.h"

namespace diffuse::cuda {

// Entries say for how many blocks a multiprocessor their registers have to do: where it is not said, the compiler would
// rather spill than let go of one.
#define DIFFUSE_MATRIX_BACKWARD(D, blocks, suffix, T)                                                         \
  extern "C" __global__ void __launch_bounds__(matrix_keys_threads(D), blocks * 128 / matrix_keys_threads(D)) \
      attention_keys_matrix_##D##_##suffix(const __grid_constant__ AttentionBackwardArguments arguments) {    \
    matrix_backward<T, D, true>(arguments);                                                                   \
  }                                                                                                           \
  extern "C" __global__ void __launch_bounds__(kMatrixQueriesThreads, blocks)                                 \
      attention_queries_matrix_##D##_##suffix(const __grid_constant__ AttentionBackwardArguments arguments) { \
    matrix_backward<T, D, false>(arguments);                                                                  \
  }
DIFFUSE_MATRIX_BACKWARD(64, 2, bf16, bf16)
DIFFUSE_MATRIX_BACKWARD(128, 2, bf16, bf16)
DIFFUSE_MATRIX_BACKWARD(256, 2, bf16, bf16)
DIFFUSE_MATRIX_BACKWARD(64, 3, tf32, float)
DIFFUSE_MATRIX_BACKWARD(128, 1, tf32, float)

// For so many columns of the outputs a block, in slices of 64.
#define DIFFUSE_VECTOR_BACKWARD(columns, blocks, suffix, T)                                                         \
  extern "C" __global__ void __launch_bounds__(kVectorThreads, blocks)                                              \
      attention_keys_vector_##columns##_##suffix(const __grid_constant__ AttentionBackwardArguments arguments) {    \
    vector_backward<T, columns / kVectorRows, true>(arguments);                                                     \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(kVectorThreads, blocks)                                              \
      attention_queries_vector_##columns##_##suffix(const __grid_constant__ AttentionBackwardArguments arguments) { \
    vector_backward<T, columns / kVectorRows, false>(arguments);                                                    \
  }
DIFFUSE_VECTOR_BACKWARD(64, 2, f32, float)
DIFFUSE_VECTOR_BACKWARD(128, 1, f32, float)
DIFFUSE_VECTOR_BACKWARD(128, 1, bf16, bf16)

namespace {

template <typename T, int Width>
__device__ __forceinline__ float partial_delta(const T* dy, const T* y, int32_t head_channels) {
  float sum = 0;
  for (int32_t d = threadIdx.x % kDeltaLanes * Width; d < head_channels; d += kDeltaLanes * Width) {
    float a[Width], b[Width];
    load(a, dy + d);
    load(b, y + d);
#pragma unroll
    for (int k = 0; k < Width; k++) sum = fmaf(a[k], b[k], sum);
  }
  return sum;
}

// δ = Σ_d dy y of every row of every head, in the order of memory. Bound by bytes.
template <typename T>
__device__ __forceinline__ void attention_delta(const AttentionDeltaArguments& arguments) {
  const AttentionShape& shape = arguments.shape;
  const int64_t index = (int64_t{blockIdx.x} * kDeltaThreads + threadIdx.x) / kDeltaLanes;
  const int64_t position = index / shape.heads;
  const int32_t head = static_cast<int32_t>(index % shape.heads);
  const bool exists = position < arguments.samples * shape.positions;
  float sum = 0;
  if (exists) {
    const T* dy = row<const T>(arguments.dy, position) + head * shape.head_channels;
    const T* y = row<const T>(arguments.y, position) + head * shape.head_channels;
    sum = shape.wide ? partial_delta<T, kWide<T>>(dy, y, shape.head_channels)
                     : partial_delta<T, 1>(dy, y, shape.head_channels);
  }
#pragma unroll
  for (int distance = kDeltaLanes / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  if (!exists || threadIdx.x % kDeltaLanes != 0) return;
  const int64_t sample = position / shape.positions, i = position % shape.positions;
  arguments.delta[(sample * shape.heads + head) * shape.positions + i] = sum;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kDeltaThreads)
    attention_delta_f32(const __grid_constant__ AttentionDeltaArguments arguments) {
  attention_delta<float>(arguments);
}
extern "C" __global__ void __launch_bounds__(kDeltaThreads)
    attention_delta_bf16(const __grid_constant__ AttentionDeltaArguments arguments) {
  attention_delta<bf16>(arguments);
}

}  // namespace diffuse::cuda
