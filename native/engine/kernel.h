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
  // Convolutions sum every product of the definition, where a faster algorithm would be taken.
  bool direct = false;
  // Where prepare() may say how it will compute, kPlanText characters; null where nobody asks.
  char* plan = nullptr;
};
constexpr size_t kPlanText = 160;

struct Kernel {
  const char* name;
  // Checks shapes and attributes (fails with ERR_SHAPE or ERR_ARGUMENT) and returns the scratch bytes that run() needs.
  // tensors[i].data is meaningless here except that null still means "absent".
  size_t (*prepare)(const Call&);
  // Computes. Results must not depend on the number of threads.
  void (*run)(const Call&);
};

// Writes to call.plan, if somebody asks.
void say_plan(const Call& call, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Throws Error{code, "<kernel>: <message>"}. Not inline: callers are compiled for several instruction sets.
[[noreturn]] void fail(const char* code, const char* kernel, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

}  // namespace diffuse
