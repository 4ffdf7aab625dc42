// The kernel table of one instruction set (compiled once per instruction set, see CMakeLists.txt).
#include "cpu/table.h"

namespace diffuse::DIFFUSE_ISA {

#define KERNEL(name, flags, signature) \
  size_t name##_prepare(const Call&);  \
  void name(const Call&);
#include "ops/kernels.def"
#undef KERNEL

const Kernel* kernel_table() {
  static const Kernel table[] = {
#define KERNEL(name, flags, signature) {#name, name##_prepare, name},
#include "ops/kernels.def"
#undef KERNEL
      {nullptr, nullptr, nullptr},
  };
  return table;
}

}  // namespace diffuse::DIFFUSE_ISA
