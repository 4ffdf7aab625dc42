// What several kernels may find wrong with their data, and where they say so.
#pragma once

#include "cuda/arguments/view.h"

namespace diffuse::cuda {

struct Reporter {
  Failure* failure;
  int32_t kernel;  // that reports: index into ops/kernels.def
};

// Meanings of Failure::code that kernels share; their own begin at kOwnFailures.
enum FailureCode : int32_t {
  kNoWord = 1,         // attribute `where` is `value`, which is no integer in [0, 2^32)
  kNotPositive = 2,    // attribute `where` is `value`, which is not above 0
  kOwnFailures = 16,
};

}  // namespace diffuse::cuda
