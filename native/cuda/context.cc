#include "cuda/context.h"

namespace diffuse::cuda {

Context::Context(int ordinal) : gpu(find_gpu(driver, ordinal)) {
  // The primary context, which all libraries of a process share: a context of our own would cost memory and switches.
  driver.cuDevicePrimaryCtxRetain(&handle_, gpu.handle);
  retained_ = Owned<int>(driver.cuDevicePrimaryCtxRelease, gpu.handle);
  enter();
  const auto stream = [&] {
    StreamHandle handle = nullptr;
    driver.cuStreamCreate(&handle, kStreamNonBlocking);
    return Owned<StreamHandle>(driver.cuStreamDestroy, handle);
  };
  stream_ = stream();
  memory_stream_ = stream();
}

Context::~Context() { try_enter(); }

Owned<DevicePointer> Context::device_memory(size_t bytes) const {
  DevicePointer memory = 0;
  driver.cuMemAlloc(&memory, bytes);
  return {driver.cuMemFree, memory};
}

Owned<void*> Context::pinned_memory(size_t bytes) const {
  void* memory = nullptr;
  driver.cuMemAllocHost(&memory, bytes);
  return {driver.cuMemFreeHost, memory};
}

Owned<EventHandle> Context::event(Flag flags) const {
  EventHandle event = nullptr;
  driver.cuEventCreate(&event, flags);
  return {driver.cuEventDestroy, event};
}

}  // namespace diffuse::cuda
