// The host's side of every kernel of ops/kernels.def, for the table and for kernels that run others as steps of their
// own.
#pragma once

#include "cuda/kernel.h"

namespace diffuse::cuda {

#define KERNEL(name, flags, signature)               \
  size_t name##_scratch(const Call&, const Limits&); \
  void name(const Call&, Launcher&);
#include "ops/kernels.def"
#undef KERNEL

}  // namespace diffuse::cuda
