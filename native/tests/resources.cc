#include "tests/resources.h"

#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <new>

static std::atomic<size_t> allocation_count{0};

// Sanitizers have an operator new of their own, which must stay.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(size_t bytes) {
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace diffuse::testing {

size_t allocations() { return allocation_count.load(std::memory_order_relaxed); }

size_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_minflt + usage.ru_majflt);
}

}  // namespace diffuse::testing
