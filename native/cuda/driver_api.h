// The part of NVIDIA's driver API that is used, declared here so that the addon builds where no CUDA toolkit is. Where
// there is one, cuda/checks/driver_api.cu compares all of it with <cuda.h>.
#pragma once

#include <cstddef>
#include <cstdint>

namespace diffuse::cuda {

using DriverResult = int;  // CUresult; 0 is success
using DevicePointer = unsigned long long;
using ContextHandle = struct ContextObject*;
using ModuleHandle = struct ModuleObject*;
using FunctionHandle = struct FunctionObject*;
using StreamHandle = struct StreamObject*;
using EventHandle = struct EventObject*;
using GraphHandle = struct GraphObject*;
using GraphExecHandle = struct GraphExecObject*;

constexpr int kMinimumDriver = 13000;  // CUDA 13.0, as cuDriverGetVersion says it

enum Result : int { kOutOfMemory = 2, kNoDevice = 100 };

enum DeviceAttribute : int {
  kMultiprocessorCount = 16,
  kThreadsPerMultiprocessor = 39,
  kComputeCapabilityMajor = 75,
  kComputeCapabilityMinor = 76,
  kSharedBytesPerMultiprocessor = 81,
  kSharedBytesPerBlockOptIn = 97,
};

enum FunctionAttribute : int { kDynamicSharedBytes = 8 };

enum JitOption : int { kJitErrorLog = 5, kJitErrorLogBytes = 6 };

enum Flag : unsigned {
  kStreamNonBlocking = 1,
  kEventDefault = 0,
  kEventDisableTiming = 2,
  kCaptureThreadLocal = 1,
};

// FUNCTION(name in cuda.h, symbol of the library, parameters)
#define DIFFUSE_CUDA_DRIVER_FUNCTIONS(FUNCTION)                                                                  \
  FUNCTION(cuInit, "cuInit", unsigned)                                                                           \
  FUNCTION(cuDriverGetVersion, "cuDriverGetVersion", int*)                                                       \
  FUNCTION(cuDeviceGetCount, "cuDeviceGetCount", int*)                                                           \
  FUNCTION(cuDeviceGet, "cuDeviceGet", int*, int)                                                                \
  FUNCTION(cuDeviceGetName, "cuDeviceGetName", char*, int, int)                                                  \
  FUNCTION(cuDeviceGetAttribute, "cuDeviceGetAttribute", int*, int, int)                                         \
  FUNCTION(cuDeviceTotalMem, "cuDeviceTotalMem_v2", size_t*, int)                                                \
  FUNCTION(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", ContextHandle*, int)                            \
  FUNCTION(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", int)                                       \
  FUNCTION(cuCtxSetCurrent, "cuCtxSetCurrent", ContextHandle)                                                    \
  FUNCTION(cuModuleLoadDataEx, "cuModuleLoadDataEx", ModuleHandle*, const void*, unsigned, int*, void**)         \
  FUNCTION(cuModuleUnload, "cuModuleUnload", ModuleHandle)                                                       \
  FUNCTION(cuModuleGetFunction, "cuModuleGetFunction", FunctionHandle*, ModuleHandle, const char*)               \
  FUNCTION(cuFuncSetAttribute, "cuFuncSetAttribute", FunctionHandle, int, int)                                   \
  FUNCTION(cuLaunchKernel, "cuLaunchKernel", FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned,   \
           unsigned, unsigned, StreamHandle, void**, void**)                                                     \
  FUNCTION(cuMemGetInfo, "cuMemGetInfo_v2", size_t*, size_t*)                                                    \
  FUNCTION(cuMemAlloc, "cuMemAlloc_v2", DevicePointer*, size_t)                                                  \
  FUNCTION(cuMemFree, "cuMemFree_v2", DevicePointer)                                                             \
  FUNCTION(cuMemAllocHost, "cuMemAllocHost_v2", void**, size_t)                                                  \
  FUNCTION(cuMemFreeHost, "cuMemFreeHost", void*)                                                                \
  FUNCTION(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", DevicePointer, const void*, size_t, StreamHandle)          \
  FUNCTION(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", void*, DevicePointer, size_t, StreamHandle)                \
  FUNCTION(cuMemsetD8Async, "cuMemsetD8Async", DevicePointer, unsigned char, size_t, StreamHandle)               \
  FUNCTION(cuStreamCreate, "cuStreamCreate", StreamHandle*, unsigned)                                            \
  FUNCTION(cuStreamSynchronize, "cuStreamSynchronize", StreamHandle)                                             \
  FUNCTION(cuStreamDestroy, "cuStreamDestroy_v2", StreamHandle)                                                  \
  FUNCTION(cuEventCreate, "cuEventCreate", EventHandle*, unsigned)                                               \
  FUNCTION(cuEventRecord, "cuEventRecord", EventHandle, StreamHandle)                                            \
  FUNCTION(cuEventSynchronize, "cuEventSynchronize", EventHandle)                                                \
  FUNCTION(cuEventElapsedTime, "cuEventElapsedTime_v2", float*, EventHandle, EventHandle)                        \
  FUNCTION(cuEventDestroy, "cuEventDestroy_v2", EventHandle)                                                     \
  FUNCTION(cuStreamBeginCapture, "cuStreamBeginCapture_v2", StreamHandle, int)                                   \
  FUNCTION(cuStreamEndCapture, "cuStreamEndCapture", StreamHandle, GraphHandle*)                                 \
  FUNCTION(cuGraphInstantiate, "cuGraphInstantiateWithFlags", GraphExecHandle*, GraphHandle, unsigned long long) \
  FUNCTION(cuGraphLaunch, "cuGraphLaunch", GraphExecHandle, StreamHandle)                                        \
  FUNCTION(cuGraphExecDestroy, "cuGraphExecDestroy", GraphExecHandle)                                            \
  FUNCTION(cuGraphDestroy, "cuGraphDestroy", GraphHandle)

}  // namespace diffuse::cuda
