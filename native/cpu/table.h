#pragma once

#include "engine/kernel.h"

namespace diffuse {
// Each ends with a null name; the order is that of ops/kernels.def.
namespace portable {
const Kernel* kernel_table();
}
namespace avx2 {
const Kernel* kernel_table();
}
namespace avx512 {
const Kernel* kernel_table();
}
namespace amx {
const Kernel* kernel_table();
}
}  // namespace diffuse
