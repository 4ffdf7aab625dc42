// How kernels say what is wrong with their data.
#pragma once

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

// Reports what is wrong at index `at`, unless something is at an earlier index too: so it is the same report on every
// run, and nothing is looked through while all is well.
template <typename IsWrong>
__device__ __forceinline__ void report_first(const Reporter& to, int32_t code, double value, double limit, int64_t at,
                                             IsWrong&& is_wrong) {
  for (int64_t i = 0; i < at; i++)
    if (is_wrong(i)) return;
  report(to, code, value, limit, static_cast<double>(at));
}

}  // namespace diffuse::cuda
