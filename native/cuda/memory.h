// Memory of the GPU: cleared when it is allocated, and not freed under kernels that use it.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/context.h"

namespace diffuse::cuda {

// Any thread.
class MemoryPool {
 public:
  explicit MemoryPool(const Context& context) : context_(context) {}

  // Zeroed. Throws ERR_OUT_OF_MEMORY.
  DevicePointer allocate(size_t bytes);
  // Frees at once, or after the work that is under way.
  void release(DevicePointer memory);

  // Work is about to be put on the stream.
  void begin_work();
  // The stream has been waited for.
  void end_work();

 private:
  Owned<DevicePointer> try_allocate(size_t bytes) const;
  void free_released();

  const Context& context_;
  std::mutex mutex_;
  bool working_ = false;
  std::map<DevicePointer, Owned<DevicePointer>> live_;
  std::vector<Owned<DevicePointer>> released_;
};

}  // namespace diffuse::cuda
