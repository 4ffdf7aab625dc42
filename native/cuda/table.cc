#include "cuda/table.h"

#include "engine/error.h"

namespace diffuse::cuda {

#define KERNEL(name, flags, signature)                                     \
  __attribute__((weak)) size_t name##_scratch(const Call&, const Limits&); \
  __attribute__((weak)) void name(const Call&, Launcher&);
#include "ops/kernels.def"
#undef KERNEL

const CudaKernel& kernel(int index) {
  static const CudaKernel table[] = {
#define KERNEL(name, flags, signature) {#name, name##_scratch, name},
#include "ops/kernels.def"
#undef KERNEL
  };
  if (!table[index].run) throw Error("ERR_DEVICE", std::string(table[index].name) + " is not built for CUDA yet");
  return table[index];
}

}  // namespace diffuse::cuda
