// The kernels of this backend, in the order of ops/kernels.def.
#pragma once

#include "cuda/kernel.h"

namespace diffuse::cuda {

const CudaKernel& kernel(int index);

}  // namespace diffuse::cuda
