#include "cuda/table.h"

#include "cuda/ops/kernels.h"

namespace diffuse::cuda {

const CudaKernel& kernel(int index) {
  static const CudaKernel table[] = {
#define KERNEL(name, flags, signature) {#name, name##_scratch, name},
#include "ops/kernels.def"
#undef KERNEL
  };
  return table[index];
}

}  // namespace diffuse::cuda
