// Devices, configuration, entries, injected failures.
#include <cstring>

#include "driver/tests/harness.h"

using namespace simulator::driver::testing;

static int attribute(CUdevice_attribute attribute, CUdevice device) {
  int value = -1;
  SUCCEED(cuDeviceGetAttribute(&value, attribute, device));
  return value;
}

TEST(devices_have_the_attributes_of_their_profiles) {
  restart({{"DEVICES", "a100,rtx4090,t4"}});
  SUCCEED(cuInit(0));
  int count;
  SUCCEED(cuDeviceGetCount(&count));
  EXPECT(count == 3);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0) == 108);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0) == 163 * 1024);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 1) == 99 * 1024);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 1) == 8);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 1) == 9);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 2) == 7);
  char name[64];
  SUCCEED(cuDeviceGetName(name, sizeof name, 1));
  EXPECT(std::strcmp(name, "NVIDIA GeForce RTX 4090") == 0);
  CUdevice device;
  EXPECT_RESULT(cuDeviceGet(&device, 3), CUDA_ERROR_INVALID_DEVICE);
  CUuuid first, second;
  SUCCEED(cuDeviceGetUuid(&first, 0));
  SUCCEED(cuDeviceGetUuid(&second, 1));
  EXPECT(std::memcmp(&first, &second, sizeof first) != 0);
}

TEST(devices_have_as_many_multiprocessors_as_configured) {
  start({{"DEVICES", "a100,rtx4090@1"}});
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0) == 108);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 1) == 1);
  EXPECT(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 1) == 9);
  for (const char* wrong : {"a100@", "a100@0", "a100@x", "a100@1@2"}) {
    restart({{"DEVICES", wrong}});
    EXPECT_RESULT(cuInit(0), CUDA_ERROR_INVALID_VALUE);
  }
}

TEST(initialisation_fails_as_configured) {
  restart({{"DEVICES", "none"}});
  EXPECT_RESULT(cuInit(0), CUDA_ERROR_NO_DEVICE);
  restart({{"INIT_ERROR", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}});
  EXPECT_RESULT(cuInit(0), CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
  restart({{"DEVICES", "voodoo2"}});
  EXPECT_RESULT(cuInit(0), CUDA_ERROR_INVALID_VALUE);
  restart({});
  int count;
  EXPECT_RESULT(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
}

TEST(calls_fail_where_the_configuration_wants_it) {
  start({{"FAIL_CALL", "cuMemAlloc_v2:2:CUDA_ERROR_OUT_OF_MEMORY"}});
  CUdeviceptr pointer;
  SUCCEED(cuMemAlloc(&pointer, 16));
  EXPECT_RESULT(cuMemAlloc(&pointer, 16), CUDA_ERROR_OUT_OF_MEMORY);
  SUCCEED(cuMemAlloc(&pointer, 16));
  restart({{"FAIL_AT", "2:3"}});
  SUCCEED(cuInit(0));
  int count;
  EXPECT_RESULT(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
  SUCCEED(cuDeviceGetCount(&count));
  EXPECT(simulatorCallCount() == 3);
}

TEST(no_context_is_current_after_a_restart) {
  start({});
  restart({});
  CUcontext current;
  SUCCEED(cuInit(0));
  SUCCEED(cuCtxGetCurrent(&current));
  EXPECT(current == nullptr);
}

TEST(an_injected_launch_failure_stays) {
  start({{"FAIL_CALL", "cuCtxSynchronize:1:719"}});
  EXPECT_RESULT(cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_RESULT(cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
  SUCCEED(cuDevicePrimaryCtxReset(0));
  SUCCEED(cuCtxSynchronize());
}

TEST(an_old_driver_lacks_what_came_later) {
  start({{"DRIVER_VERSION", "11040"}});
  int version;
  SUCCEED(cuDriverGetVersion(&version));
  EXPECT(version == 11040);
  void* address;
  CUdriverProcAddressQueryResult status;
  EXPECT_RESULT(cuGetProcAddress("cuGetProcAddress", &address, 13000, 0, &status), CUDA_ERROR_NOT_FOUND);
  EXPECT(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  CUmodule module;
  EXPECT_RESULT(cuModuleLoadData(&module, kKernels), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
}

TEST(entries_are_found_by_name_and_version) {
  start();
  void* address = nullptr;
  SUCCEED(cuGetProcAddress("cuMemAlloc", &address, 13000, 0, nullptr));
  EXPECT(address == reinterpret_cast<void*>(&cuMemAlloc));
  SUCCEED(cuGetProcAddress("cuEventElapsedTime", &address, 12000, 0, nullptr));
  void* newer = nullptr;
  SUCCEED(cuGetProcAddress("cuEventElapsedTime", &newer, 13000, 0, nullptr));
  EXPECT(address && newer && address != newer);
  CUdriverProcAddressQueryResult status;
  EXPECT_RESULT(cuGetProcAddress("cuNoSuchThing", &address, 13000, 0, &status), CUDA_ERROR_NOT_FOUND);
  EXPECT(status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
}

TEST(devices_have_memory_of_their_own) {
  start({{"DEVICES", "a100,a100"}});
  const CUdeviceptr first = allocate(4);
  CUcontext other;
  SUCCEED(cuDevicePrimaryCtxRetain(&other, 1));
  SUCCEED(cuCtxPushCurrent(other));
  float value = 1;
  EXPECT_RESULT(cuMemcpyHtoD(first, &value, sizeof value), CUDA_ERROR_INVALID_VALUE);
  EXPECT(found("device 1"));
  EXPECT_RESULT(cuMemFree(first), CUDA_ERROR_INVALID_VALUE);
  SUCCEED(cuCtxPopCurrent(nullptr));
  SUCCEED(cuMemFree(first));
}
