// Loops over the worker team, for kernel files.
#pragma once

#include "cpu/simd.h"
#include "engine/kernel.h"

namespace diffuse {
// engine/workers.h without its standard-library includes, which kernel files must not see.
void run_tasks(Workers* workers, int64_t count, void (*task)(void*, int64_t, int), void* context);
int thread_count(Workers* workers);
}  // namespace diffuse

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int kMaxThreads = 1024;  // that a device has

// body(index, thread) for each index in [0, count). The order is arbitrary: no result may depend on it.
template <typename Body>
DIFFUSE_INLINE void parallel_for(const Call& call, int64_t count, Body&& body) {
  using Pointer = decltype(&body);  // Body itself may be a reference
  run_tasks(
      call.workers, count,
      [](void* context, int64_t index, int thread) { (*static_cast<Pointer>(context))(index, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// body(begin, end) over [0, count) in pieces of `grain` (the last may be shorter). Pieces depend on count and grain
// alone.
template <typename Body>
DIFFUSE_INLINE void parallel_ranges(const Call& call, int64_t count, int64_t grain, Body&& body) {
  auto piece = [&](int64_t index, int) {
    int64_t begin = index * grain, end = begin + grain;
    body(begin, end < count ? end : count);
  };
  parallel_for(call, (count + grain - 1) / grain, piece);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
