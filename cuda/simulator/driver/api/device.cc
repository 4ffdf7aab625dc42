// Initialisation, devices, names of errors.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "driver/driver.h"
#include "driver/errors.h"

using namespace simulator::driver;

CUresult cuInit(unsigned int flags) {
  return anytime(__func__, [&](Driver& all) {
    if (flags != 0) refuse(CUDA_ERROR_INVALID_VALUE, "flags must be 0");
    if (!all.configuration.problem.empty()) {
      std::fprintf(stderr, "CUDA simulator: %s\n", all.configuration.problem.c_str());
      refuse(CUDA_ERROR_INVALID_VALUE, "%s", all.configuration.problem.c_str());
    }
    if (all.configuration.init_error != CUDA_SUCCESS)
      refuse(all.configuration.init_error, "the configuration wants initialisation to fail");
    if (all.contexts.empty()) refuse(CUDA_ERROR_NO_DEVICE, "CUDA_SIMULATOR_DEVICES is none");
    all.initialised = true;
  });
}

CUresult cuDriverGetVersion(int* version) {
  return anytime(__func__, [&](Driver& all) { required(version, "the version") = all.configuration.driver_version; });
}

CUresult cuGetErrorName(CUresult error, const char** name) {
  return anytime(__func__, [&](Driver&) {
    required(name, "the name") = error_name(error);
    if (!*name) refuse(CUDA_ERROR_INVALID_VALUE, "unknown error %d", error);
  });
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  return anytime(__func__, [&](Driver&) {
    required(text, "the text") = error_text(error);
    if (!*text) refuse(CUDA_ERROR_INVALID_VALUE, "unknown error %d", error);
  });
}

CUresult cuDeviceGetCount(int* count) {
  return initialised(__func__,
                     [&](Driver& all) { required(count, "the count") = static_cast<int>(all.contexts.size()); });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return initialised(__func__, [&](Driver& all) { required(device, "the device") = all.device(ordinal).ordinal; });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return initialised(__func__, [&](Driver& all) {
    required(name, "the name");
    if (length <= 0) refuse(CUDA_ERROR_INVALID_VALUE, "a name of %d bytes", length);
    std::snprintf(name, length, "%s", all.device(device).profile.name);
  });
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  return initialised(__func__, [&](Driver& all) { required(bytes, "the size") = all.device(device).memory_bytes; });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  return initialised(__func__, [&](Driver& all) {
    std::fill_n(required(uuid, "the UUID").bytes, sizeof uuid->bytes, 0);
    const Context& context = all.device(device);
    std::strncpy(uuid->bytes, context.profile.key, sizeof uuid->bytes - 1);
    uuid->bytes[sizeof uuid->bytes - 1] = static_cast<char>(context.ordinal + 1);
  });
}

CUresult cuDeviceGetPCIBusId(char* text, int length, CUdevice device) {
  return initialised(__func__, [&](Driver& all) {
    required(text, "the text");
    if (length < 13) refuse(CUDA_ERROR_INVALID_VALUE, "a bus id takes 13 bytes");
    std::snprintf(text, length, "0000:%02X:00.0", all.device(device).ordinal + 1);
  });
}

static int attribute_of(const Context& context, CUdevice_attribute attribute) {
  const simulator::Profile& profile = context.profile;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return simulator::kThreadsPerBlock;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return simulator::kBlockZ;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return static_cast<int>(simulator::kGridX);
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return static_cast<int>(simulator::kGridYZ);
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
      return simulator::kSharedBytes;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return profile.shared_bytes_opt_in;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return profile.shared_bytes_per_multiprocessor;
    case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK:
      return profile.shared_bytes_reserved;
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY:
      return 64 << 10;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_MAX_PITCH:
      return 2147483647;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return simulator::kRegistersPerBlock;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
      return profile.clock_kilohertz;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
      return profile.memory_clock_kilohertz;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
      return profile.memory_bus_bits;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return profile.multiprocessors;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
      return profile.threads_per_multiprocessor;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
      return profile.blocks_per_multiprocessor;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return profile.l2_bytes;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return profile.major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return profile.minor;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
      return context.ordinal + 1;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
      return 2;
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
    case CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT:
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
    case CU_DEVICE_ATTRIBUTE_TCC_DRIVER:
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY:
    case CU_DEVICE_ATTRIBUTE_MULTI_GPU_BOARD:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS:
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
      return 0;
    default:
      refuse(CUDA_ERROR_INVALID_VALUE, "the simulator does not know the attribute %d", attribute);
  }
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return initialised(__func__,
                     [&](Driver& all) { required(value, "the value") = attribute_of(all.device(device), attribute); });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  return initialised(__func__, [&](Driver& all) {
    all.device(device);
    all.device(peer);
    required(can, "the answer") = 0;
  });
}
