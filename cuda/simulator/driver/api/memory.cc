// Memory of devices, and pinned memory of the host.
#include "driver/capture.h"
#include "driver/driver.h"

using namespace simulator::driver;
using simulator::memory::Allocation;

static CUdeviceptr allocate(Context& context, size_t bytes) {
  if (bytes == 0) refuse(CUDA_ERROR_INVALID_VALUE, "0 bytes");
  const CUdeviceptr address = context.memory->allocate(bytes);
  if (!address)
    refuse(CUDA_ERROR_OUT_OF_MEMORY, "%zu bytes, of %zu are %zu used", bytes, context.memory->capacity(),
           context.memory->used());
  return address;
}

// Refuses what is not the beginning of a live allocation.
static void check_allocation(Context& context, CUdeviceptr pointer) {
  const auto address = static_cast<unsigned long long>(pointer);
  const Allocation* allocation = context.memory->find(pointer);
  if (!allocation) refuse_misuse(CUDA_ERROR_INVALID_VALUE, "%#llx was never allocated on this device", address);
  if (allocation->freed) refuse_misuse(CUDA_ERROR_INVALID_VALUE, "%#llx was freed before", address);
  if (allocation->address != pointer || !allocation->name.empty())
    refuse_misuse(CUDA_ERROR_INVALID_VALUE, "%#llx is not the beginning of an allocation", address);
}

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  return in_context(__func__, [&](Context& context) {
    required(free, "free") = context.memory->capacity() - context.memory->used();
    required(total, "total") = context.memory->capacity();
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes) {
  return in_context(__func__, [&](Context& context) {
    required(pointer, "the pointer");
    refuse_if_unsafe(driver());
    *pointer = allocate(context, bytes);
  });
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
  return in_context(__func__, [&](Context& context) {
    if (!pointer) return;
    refuse_if_unsafe(driver());
    check_allocation(context, pointer);
    // Of memory that was allocated in the order of a stream the real driver does not wait for the work on it.
    if (!context.stream_ordered.count(pointer)) context.finish_all();
    context.stream_ordered.erase(pointer);
    context.memory->release(pointer);
  });
}

CUresult cuMemAllocAsync(CUdeviceptr* pointer, size_t bytes, CUstream handle) {
  return in_context(__func__, [&](Context& context) {
    required(pointer, "the pointer");
    if (stream_at(context, handle).capture) refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator captures no allocations");
    *pointer = allocate(context, bytes);
    context.stream_ordered.insert(*pointer);
  });
}

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream handle) {
  return in_context(__func__, [&](Context& context) {
    Stream& stream = stream_at(context, handle);
    if (stream.capture) refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator captures no allocations");
    check_allocation(context, pointer);
    context.stream_ordered.erase(pointer);
    issue(stream, std::make_shared<FreeWork>(pointer));
  });
}

static void* allocate_host(Context& context, size_t bytes, bool mapped) {
  refuse_if_unsafe(driver());
  if (bytes == 0) refuse(CUDA_ERROR_INVALID_VALUE, "0 bytes");
  Pinned pinned{.bytes = bytes, .context = &context};
  void* begin;
  if (mapped) {
    // An allocation of the device's memory, of which the host sees the content.
    pinned.device_address = allocate(context, bytes);
    const uint8_t zero = 0;
    context.memory->fill(pinned.device_address, &zero, 1, bytes);
    begin = context.memory->find(pinned.device_address)->data;
  } else {
    constexpr size_t kPage = 4096;
    pinned.own.reset(std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage));
    begin = pinned.own.get();
    if (!begin) throw std::bad_alloc();
  }
  driver().host_memory.add(begin, std::move(pinned));
  return begin;
}

CUresult cuMemAllocHost_v2(void** pointer, size_t bytes) {
  return in_context(__func__, [&](Context& context) {
    required(pointer, "the pointer");
    *pointer = allocate_host(context, bytes, false);
  });
}

CUresult cuMemHostAlloc(void** pointer, size_t bytes, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    required(pointer, "the pointer");
    if (flags & ~(CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED))
      refuse(CUDA_ERROR_INVALID_VALUE, "unknown flags %#x", flags);
    *pointer = allocate_host(context, bytes, flags & CU_MEMHOSTALLOC_DEVICEMAP);
  });
}

// Ends the pinning of a range, for which no queued copy may have use any more.
static void release_host(Context& context, void* begin, bool registered) {
  HostMemory& host = driver().host_memory;
  refuse_if_unsafe(driver());
  const Pinned* pinned = host.at(begin);
  const CUresult error = registered ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : CUDA_ERROR_INVALID_VALUE;
  if (!pinned || pinned->registered != registered)
    refuse_misuse(error, "%p is not the beginning of %s memory", begin, registered ? "registered" : "pinned");
  const HostRange range{static_cast<const std::byte*>(begin), pinned->bytes};
  if (context.will_read(range) || context.will_write(range))
    driver().journal.finding("misuse",
                             format_text("%s: a copy of the pinned memory at %p is pending", current_call(), begin));
  context.finish_all();
  if (pinned->device_address) context.memory->release(pinned->device_address);
  host.remove(begin);
}

CUresult cuMemFreeHost(void* pointer) {
  return in_context(__func__, [&](Context& context) {
    if (pointer) release_host(context, pointer, false);
  });
}

CUresult cuMemHostRegister_v2(void* pointer, size_t bytes, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    refuse_if_unsafe(driver());
    if (!pointer || bytes == 0) refuse(CUDA_ERROR_INVALID_VALUE, "an empty range");
    if (flags & ~CU_MEMHOSTREGISTER_PORTABLE)
      refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator registers no memory with the flags %#x", flags);
    if (driver().host_memory.overlaps({static_cast<const std::byte*>(pointer), bytes}))
      refuse(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "a part of the range is pinned already");
    driver().host_memory.add(pointer, {.bytes = bytes, .registered = true, .context = &context});
  });
}

CUresult cuMemHostUnregister(void* pointer) {
  return in_context(__func__, [&](Context& context) { release_host(context, pointer, true); });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* device, void* host, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    if (flags != 0) refuse(CUDA_ERROR_INVALID_VALUE, "flags must be 0");
    const auto* range = driver().host_memory.holding(host);
    if (!range || !range->second.device_address || range->second.context != &context)
      refuse(CUDA_ERROR_INVALID_VALUE, "%p was not allocated with CU_MEMHOSTALLOC_DEVICEMAP in this context", host);
    required(device, "the pointer") = range->second.device_address + (reinterpret_cast<uintptr_t>(host) - range->first);
  });
}
