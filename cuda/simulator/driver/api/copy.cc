// Copies and fills.
//
// A synchronous copy from pageable memory returns when the driver has taken the bytes; they reach the device in the
// order of the legacy stream, which streams that do not block need not respect. Asynchronous copies to the host fill
// their destination with poison first, so that whoever reads it too early sees that.
#include "driver/capture.h"
#include "driver/driver.h"

using namespace simulator::driver;

// Refuses what does not lie in a live allocation of the device.
static void check_range(Context& context, CUdeviceptr begin, size_t bytes) {
  if (!context.memory->contains(begin, bytes))
    refuse_misuse(CUDA_ERROR_INVALID_VALUE, "%zu bytes at %#llx do not lie in an allocation of device %d", bytes,
                  static_cast<unsigned long long>(begin), context.ordinal);
}

static Place at_host(const void* pointer, size_t pitch = 0) {
  // What is only read is not written to.
  return {.host = static_cast<std::byte*>(const_cast<void*>(pointer)), .pitch = pitch};
}

static Place at_device(CUdeviceptr pointer, size_t pitch = 0) { return {.device = pointer, .pitch = pitch}; }

struct Copy {
  Place to, from;
  size_t width, rows = 1;
};

static void check(Context& context, const Copy& copy) {
  for (const Place& place : {copy.to, copy.from}) {
    if (!place.device && !place.host) refuse(CUDA_ERROR_INVALID_VALUE, "a null pointer");
    for (size_t row = 0; !place.host && row < copy.rows; row++)
      check_range(context, place.device + row * place.pitch, copy.width);
  }
}

static void copy_asynchronously(Context& context, CUstream handle, const Copy& copy) {
  Stream& stream = stream_at(context, handle);
  if (copy.width == 0 || copy.rows == 0) return;
  check(context, copy);
  auto work = std::make_shared<CopyWork>(copy.to, copy.from, copy.width, copy.rows);
  if (!stream.capture) {
    if (copy.from.host) {
      const bool pinned = driver().host_memory.is_pinned(work->reads());
      // What is still to be copied into the source may change it.
      if (!pinned) {
        work->stage();
      } else if (!context.will_write(work->reads())) {
        work->remember();
      }
    }
    if (!context.will_read(work->writes())) work->poison();
  }
  issue(stream, std::move(work));
}

static void copy_synchronously(Context& context, const Copy& copy) {
  refuse_if_unsafe(driver());
  refuse_implicit(context.legacy);
  if (copy.width == 0 || copy.rows == 0) return;
  check(context, copy);
  auto work = std::make_shared<CopyWork>(copy.to, copy.from, copy.width, copy.rows);
  const bool pageable = copy.from.host && !driver().host_memory.is_pinned(work->reads());
  if (pageable && !copy.to.host) {
    context.finish(context.queue(context.legacy, std::make_shared<EmptyWork>())->mark);
    work->stage();
  }
  const auto operation = context.queue(context.legacy, work);
  if (copy.to.host || (copy.from.host && !pageable)) context.finish(operation->mark);
  context.drift();
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  return in_context(__func__, [&](Context& context) {
    copy_synchronously(context, {at_device(to), at_host(from), bytes});
  });
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  return in_context(__func__, [&](Context& context) {
    copy_synchronously(context, {at_host(to), at_device(from), bytes});
  });
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return in_context(__func__, [&](Context& context) {
    copy_synchronously(context, {at_device(to), at_device(from), bytes});
  });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    copy_asynchronously(context, stream, {at_device(to), at_host(from), bytes});
  });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    copy_asynchronously(context, stream, {at_host(to), at_device(from), bytes});
  });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return in_context(__func__, [&](Context& context) {
    copy_asynchronously(context, stream, {at_device(to), at_device(from), bytes});
  });
}

static Place place(CUmemorytype type, const void* host, CUdeviceptr device, size_t x, size_t y, size_t pitch,
                   size_t width) {
  if (pitch == 0) pitch = x + width;
  if (pitch < x + width) refuse(CUDA_ERROR_INVALID_VALUE, "rows of %zu bytes are %zu bytes apart", x + width, pitch);
  const size_t offset = y * pitch + x;
  if (type == CU_MEMORYTYPE_HOST) return at_host(host ? static_cast<const std::byte*>(host) + offset : nullptr, pitch);
  if (type == CU_MEMORYTYPE_DEVICE) return at_device(device ? device + offset : 0, pitch);
  refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator copies between memory of the host and of the device alone");
}

static Copy rectangle(const CUDA_MEMCPY2D* copy) {
  const auto& c = required(copy, "the copy");
  return {.to = place(c.dstMemoryType, c.dstHost, c.dstDevice, c.dstXInBytes, c.dstY, c.dstPitch, c.WidthInBytes),
          .from = place(c.srcMemoryType, c.srcHost, c.srcDevice, c.srcXInBytes, c.srcY, c.srcPitch, c.WidthInBytes),
          .width = c.WidthInBytes,
          .rows = c.Height};
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D* copy) {
  return in_context(__func__, [&](Context& context) { copy_synchronously(context, rectangle(copy)); });
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
  return in_context(__func__, [&](Context& context) { copy_asynchronously(context, stream, rectangle(copy)); });
}

static void fill(Context& context, CUstream handle, CUdeviceptr to, uint32_t pattern, size_t size, size_t count) {
  Stream& stream = stream_at(context, handle);
  if (count == 0) return;
  if (to % size) refuse(CUDA_ERROR_INVALID_VALUE, "the pointer is not aligned to %zu bytes", size);
  check_range(context, to, size * count);
  issue(stream, std::make_shared<FillWork>(to, pattern, size, count));
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
  return in_context(__func__, [&](Context& context) { fill(context, CU_STREAM_LEGACY, to, value, 1, count); });
}

CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned int value, size_t count) {
  return in_context(__func__, [&](Context& context) { fill(context, CU_STREAM_LEGACY, to, value, 4, count); });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return in_context(__func__, [&](Context& context) { fill(context, stream, to, value, 1, count); });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned int value, size_t count, CUstream stream) {
  return in_context(__func__, [&](Context& context) { fill(context, stream, to, value, 4, count); });
}
