// How kernels say what is wrong with their data.
#pragma once

#include "common/warp.h"
#include "cuda/arguments/failure.h"

namespace diffuse::cuda {

// The first report stays; those that come after it, of this kernel or of others, are dropped.
__device__ __forceinline__ void report(const Reporter& to, int32_t code, double value, double limit, double where) {
  if (atomicCAS(&to.failure->code, 0, code) != 0) return;
  to.failure->kernel = to.kernel;
  to.failure->value = value;
  to.failure->limit = limit;
  to.failure->where = where;
}

// The smallest index in [0, count) for which is_wrong(index), or count: the same report on every run, whichever thread
// is the fastest. All threads of the block must call it, each launch once.
template <typename IsWrong>
__device__ __forceinline__ int64_t first_wrong(int64_t count, IsWrong&& is_wrong) {
  __shared__ unsigned long long first;
  if (threadIdx.x == 0) first = static_cast<unsigned long long>(count);
  __syncthreads();
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    if (!is_wrong(i)) continue;
    atomicMin(&first, static_cast<unsigned long long>(i));
    break;
  }
  __syncthreads();
  return static_cast<int64_t>(first);
}

}  // namespace diffuse::cuda
