#pragma once

#include <cstdint>

#include "ptx/body.h"

namespace simulator::machine {

// What memory holds after an atomic operation with operands b (and c) on `old`.
uint64_t atomic_result(ptx::AtomicOperation operation, ptx::Type type, uint64_t old, uint64_t b, uint64_t c);

}  // namespace simulator::machine
