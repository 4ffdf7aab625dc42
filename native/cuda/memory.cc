#include "cuda/memory.h"

#include <algorithm>

namespace diffuse::cuda {

namespace {

std::string mebibytes(size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

}  // namespace

Owned<DevicePointer> MemoryPool::try_allocate(size_t bytes) const {
  DevicePointer memory = 0;
  const DriverResult result = context_.driver.cuMemAlloc.result(&memory, bytes);
  if (result == kOutOfMemory) return {};
  if (result != 0) context_.driver.fail("cuMemAlloc", result);
  return {context_.driver.cuMemFree, memory};
}

DevicePointer MemoryPool::allocate(size_t bytes) {
  bytes = std::max<size_t>(bytes, 1);
  Owned<DevicePointer> memory = try_allocate(bytes);
  if (!memory.get()) {
    free_released();
    memory = try_allocate(bytes);
  }
  if (!memory.get()) {
    size_t available = 0, all = 0;
    const bool known = context_.driver.cuMemGetInfo.result(&available, &all) == 0;
    throw Error("ERR_OUT_OF_MEMORY",
                "cuda:" + std::to_string(context_.gpu.ordinal) + " has no " + mebibytes(bytes) + " of memory left" +
                    (known ? ": " + mebibytes(available) + " of " + mebibytes(all) + " are free" : ""));
  }
  context_.driver.cuMemsetD8Async(memory.get(), 0, bytes, context_.memory_stream());
  context_.driver.cuStreamSynchronize(context_.memory_stream());
  std::lock_guard lock(mutex_);
  const DevicePointer address = memory.get();
  live_.emplace(address, std::move(memory));
  return address;
}

void MemoryPool::release(DevicePointer memory) {
  Owned<DevicePointer> freed;  // after the lock
  std::lock_guard lock(mutex_);
  auto node = live_.extract(memory);
  if (node.empty()) return;
  if (working_)
    released_.push_back(std::move(node.mapped()));
  else
    freed = std::move(node.mapped());
}

void MemoryPool::begin_work() {
  std::lock_guard lock(mutex_);
  working_ = true;
}

void MemoryPool::end_work() {
  std::vector<Owned<DevicePointer>> freed;  // after the lock
  std::lock_guard lock(mutex_);
  working_ = false;
  freed.swap(released_);
}

// What was released before is no longer used once the stream has come to its end; what is launched meanwhile does not
// use it.
void MemoryPool::free_released() {
  std::vector<Owned<DevicePointer>> freed;
  {
    std::lock_guard lock(mutex_);
    freed.swap(released_);
  }
  if (freed.empty()) return;
  std::lock_guard lock(context_.capturing);
  context_.driver.cuStreamSynchronize(context_.stream());
}

}  // namespace diffuse::cuda
