// Primary contexts, and which context is current in a thread.
#include "driver/capture.h"
#include "driver/driver.h"

using namespace simulator::driver;

static constexpr unsigned kContextFlags = CU_CTX_FLAGS_MASK;

CUresult cuDevicePrimaryCtxRetain(CUcontext* handle, CUdevice device) {
  return initialised(__func__, [&](Driver& all) {
    Context& context = all.device(device);
    required(handle, "the context") = context.handle();
    context.retained++;
    context.active = true;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return initialised(__func__, [&](Driver& all) {
    Context& context = all.device(device);
    if (context.retained == 0)
      refuse_misuse(CUDA_ERROR_INVALID_CONTEXT, "the primary context of device %d is not retained", device);
    if (--context.retained > 0) return;
    if (context.failed == CUDA_SUCCESS) context.finish_all();
    all.report_leaks(context, "left when the context was released");
    context.clear();
    context.active = false;
  });
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return initialised(__func__, [&](Driver& all) { all.device(device).clear(); });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
  return initialised(__func__, [&](Driver& all) {
    const Context& context = all.device(device);
    if (flags) *flags = context.flags;
    if (active) *active = context.active;
  });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags) {
  return initialised(__func__, [&](Driver& all) {
    if (flags & ~kContextFlags) refuse(CUDA_ERROR_INVALID_VALUE, "unknown flags %#x", flags);
    all.device(device).flags = flags;
  });
}

CUresult cuCtxSetCurrent(CUcontext handle) {
  return initialised(__func__, [&](Driver& all) {
    if (handle) all.context(handle);
    auto& stack = current_contexts();
    if (!stack.empty()) stack.pop_back();
    if (handle) stack.push_back(handle);
  });
}

CUresult cuCtxGetCurrent(CUcontext* handle) {
  return initialised(__func__, [&](Driver&) {
    const auto& stack = current_contexts();
    required(handle, "the context") = stack.empty() ? nullptr : stack.back();
  });
}

CUresult cuCtxPushCurrent_v2(CUcontext handle) {
  return initialised(__func__, [&](Driver& all) {
    all.context(handle);
    current_contexts().push_back(handle);
  });
}

CUresult cuCtxPopCurrent_v2(CUcontext* handle) {
  return initialised(__func__, [&](Driver&) {
    auto& stack = current_contexts();
    if (stack.empty()) refuse(CUDA_ERROR_INVALID_CONTEXT, "no context is current in this thread");
    if (handle) *handle = stack.back();
    stack.pop_back();
  });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return initialised(__func__, [&](Driver& all) {
    const auto& stack = current_contexts();
    if (stack.empty()) refuse(CUDA_ERROR_INVALID_CONTEXT, "no context is current in this thread");
    required(device, "the device") = all.context(stack.back()).ordinal;
  });
}

CUresult cuCtxSynchronize() {
  return in_context(__func__, [&](Context& context) {
    refuse_while_capturing(context);
    context.finish_all();
  });
}

// What the real driver answers before anybody has set a limit.
static size_t default_limit(CUlimit limit) {
  switch (limit) {
    case CU_LIMIT_STACK_SIZE:
      return 1024;
    case CU_LIMIT_PRINTF_FIFO_SIZE:
      return 1 << 20;
    case CU_LIMIT_MALLOC_HEAP_SIZE:
      return 8 << 20;
    default:
      refuse(CUDA_ERROR_UNSUPPORTED_LIMIT, "the simulator does not know the limit %d", limit);
  }
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
  return in_context(__func__, [&](Context& context) {
    const size_t otherwise = default_limit(limit);
    const auto set = context.limits.find(limit);
    required(value, "the value") = set == context.limits.end() ? otherwise : set->second;
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return in_context(__func__, [&](Context& context) {
    default_limit(limit);
    context.limits[limit] = value;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context(__func__, [&](Context&) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
  });
}
