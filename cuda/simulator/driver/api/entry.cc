// cuGetProcAddress: every entry by the name without a version.
#include <algorithm>
#include <cstring>

#include "driver/driver.h"

using namespace simulator::driver;

struct Entry {
  const char* name;  // without "_v2"
  int since;         // the version of CUDA that brought it
  void* address;
};

#define ENTRY(name, version, since) \
  { #name, since, reinterpret_cast < void*>(&name##version) }

// Newer versions of a function stand before older ones.
static const Entry kEntries[] = {
    ENTRY(cuInit, , 2000),
    ENTRY(cuDriverGetVersion, , 2020),
    ENTRY(cuGetErrorName, , 6000),
    ENTRY(cuGetErrorString, , 6000),
    ENTRY(cuDeviceGetCount, , 2000),
    ENTRY(cuDeviceGet, , 2000),
    ENTRY(cuDeviceGetName, , 2000),
    ENTRY(cuDeviceGetAttribute, , 2000),
    ENTRY(cuDeviceTotalMem, _v2, 3020),
    ENTRY(cuDeviceGetUuid, _v2, 11040),
    ENTRY(cuDeviceGetPCIBusId, , 4010),
    ENTRY(cuDeviceCanAccessPeer, , 4000),
    ENTRY(cuDevicePrimaryCtxRetain, , 7000),
    ENTRY(cuDevicePrimaryCtxRelease, _v2, 11000),
    ENTRY(cuDevicePrimaryCtxReset, _v2, 11000),
    ENTRY(cuDevicePrimaryCtxGetState, , 7000),
    ENTRY(cuDevicePrimaryCtxSetFlags, _v2, 11000),
    ENTRY(cuCtxSetCurrent, , 4000),
    ENTRY(cuCtxGetCurrent, , 4000),
    ENTRY(cuCtxPushCurrent, _v2, 4000),
    ENTRY(cuCtxPopCurrent, _v2, 4000),
    ENTRY(cuCtxGetDevice, , 2000),
    ENTRY(cuCtxSynchronize, , 2000),
    ENTRY(cuCtxGetLimit, , 3010),
    ENTRY(cuCtxSetLimit, , 3010),
    ENTRY(cuCtxGetStreamPriorityRange, , 5050),
    ENTRY(cuMemGetInfo, _v2, 3020),
    ENTRY(cuMemAlloc, _v2, 3020),
    ENTRY(cuMemFree, _v2, 3020),
    ENTRY(cuMemAllocAsync, , 11020),
    ENTRY(cuMemFreeAsync, , 11020),
    ENTRY(cuMemAllocHost, _v2, 3020),
    ENTRY(cuMemFreeHost, , 2000),
    ENTRY(cuMemHostAlloc, , 2020),
    ENTRY(cuMemHostGetDevicePointer, _v2, 3020),
    ENTRY(cuMemHostRegister, _v2, 6050),
    ENTRY(cuMemHostUnregister, , 4000),
    ENTRY(cuMemcpyHtoD, _v2, 3020),
    ENTRY(cuMemcpyDtoH, _v2, 3020),
    ENTRY(cuMemcpyDtoD, _v2, 3020),
    ENTRY(cuMemcpyHtoDAsync, _v2, 3020),
    ENTRY(cuMemcpyDtoHAsync, _v2, 3020),
    ENTRY(cuMemcpyDtoDAsync, _v2, 3020),
    ENTRY(cuMemcpy2D, _v2, 3020),
    ENTRY(cuMemcpy2DAsync, _v2, 3020),
    ENTRY(cuMemsetD8, _v2, 3020),
    ENTRY(cuMemsetD32, _v2, 3020),
    ENTRY(cuMemsetD8Async, , 3020),
    ENTRY(cuMemsetD32Async, , 3020),
    ENTRY(cuStreamCreate, , 2000),
    ENTRY(cuStreamCreateWithPriority, , 5050),
    ENTRY(cuStreamDestroy, _v2, 4000),
    ENTRY(cuStreamSynchronize, , 2000),
    ENTRY(cuStreamQuery, , 2000),
    ENTRY(cuStreamWaitEvent, , 3020),
    ENTRY(cuStreamBeginCapture, _v2, 10010),
    ENTRY(cuStreamEndCapture, , 10000),
    ENTRY(cuStreamIsCapturing, , 10000),
    ENTRY(cuStreamGetCaptureInfo, _v3, 12030),
    ENTRY(cuStreamGetCaptureInfo, _v2, 11030),
    ENTRY(cuStreamGetCaptureInfo, , 10010),
    ENTRY(cuEventCreate, , 2000),
    ENTRY(cuEventRecord, , 2000),
    ENTRY(cuEventRecordWithFlags, , 11010),
    ENTRY(cuEventSynchronize, , 2000),
    ENTRY(cuEventQuery, , 2000),
    ENTRY(cuEventElapsedTime, _v2, 12080),
    ENTRY(cuEventElapsedTime, , 2000),
    ENTRY(cuEventDestroy, _v2, 4000),
    ENTRY(cuModuleLoadData, , 2000),
    ENTRY(cuModuleLoadDataEx, , 2010),
    ENTRY(cuModuleUnload, , 2000),
    ENTRY(cuModuleGetFunction, , 2000),
    ENTRY(cuModuleGetGlobal, _v2, 3020),
    ENTRY(cuFuncGetAttribute, , 2020),
    ENTRY(cuFuncSetAttribute, , 9000),
    ENTRY(cuFuncSetCacheConfig, , 3000),
    ENTRY(cuOccupancyMaxActiveBlocksPerMultiprocessor, , 6050),
    ENTRY(cuLaunchKernel, , 4000),
    ENTRY(cuLaunchHostFunc, , 10000),
    ENTRY(cuGraphCreate, , 10000),
    ENTRY(cuGraphDestroy, , 10000),
    ENTRY(cuGraphGetNodes, , 10000),
    ENTRY(cuGraphInstantiateWithFlags, , 11040),
    {"cuGraphInstantiate", 12000, reinterpret_cast<void*>(&cuGraphInstantiateWithFlags)},
    ENTRY(cuGraphInstantiate, _v2, 11000),
    ENTRY(cuGraphLaunch, , 10000),
    ENTRY(cuGraphExecUpdate, _v2, 12000),
    ENTRY(cuGraphExecUpdate, , 10020),
    ENTRY(cuGraphExecDestroy, , 10000),
    ENTRY(cuGetProcAddress, _v2, 12000),
};

static CUdriverProcAddressQueryResult look_up(const char* name, int version, void** address) {
  bool newer = false;
  for (const Entry& entry : kEntries) {
    if (std::strcmp(entry.name, name) != 0) continue;
    if (entry.since <= version) {
      *address = entry.address;
      return CU_GET_PROC_ADDRESS_SUCCESS;
    }
    newer = true;
  }
  return newer ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
}

CUresult cuGetProcAddress_v2(const char* name, void** address, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* status) {
  return anytime(__func__, [&](Driver& all) {
    required(name, "the name");
    required(address, "the address") = nullptr;
    if (flags & ~(CU_GET_PROC_ADDRESS_LEGACY_STREAM))
      refuse(CUDA_ERROR_INVALID_VALUE, "the simulator has the legacy stream's entries alone");
    // An old driver lacks what came later.
    const auto found = look_up(name, std::min(version, all.configuration.driver_version), address);
    if (status) *status = found;
    if (!*address) refuse(CUDA_ERROR_NOT_FOUND, "%s is not in CUDA %d, or not in the simulator", name, version);
  });
}
