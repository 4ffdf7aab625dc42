// What a kernel is, for every backend. Included by files that are compiled once per instruction set: plain structs
// only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor.h"

namespace diffuse {

class Workers;

// One kernel call of a program: tensors and attributes in the order of the kernel's signature (ops/kernels.def).
struct Call {
  const Tensor* tensors;
  const double* attributes;
  std::byte* scratch;  // as many bytes as prepare() asked for, aligned to 64; contents undefined, shared by all threads
  Workers* workers;
};

struct Kernel {
  const char* name;
  // Checks shapes and attributes (fails with ERR_SHAPE or ERR_ARGUMENT) and returns the scratch bytes that run() needs.
  // tensors[i].data is meaningless here except that null still means "absent".
  size_t (*prepare)(const Call&);
  // Computes. Results must not depend on the number of threads.
  void (*run)(const Call&);
};

// Throws Error{code, "<kernel>: <message>"}. Not inline: callers are compiled for several instruction sets.
[[noreturn]] void fail(const char* code, const char* kernel, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

}  // namespace diffuse
