// What wrong programs do, and what is left behind.
#include <string>

#include "driver/tests/harness.h"

using namespace simulator::driver::testing;

TEST(calls_need_a_current_context) {
  restart({});
  SUCCEED(cuInit(0));
  CUdeviceptr pointer;
  EXPECT_RESULT(cuMemAlloc(&pointer, 16), CUDA_ERROR_INVALID_CONTEXT);
  CUcontext context;
  SUCCEED(cuDevicePrimaryCtxRetain(&context, 0));
  SUCCEED(cuCtxSetCurrent(context));
  SUCCEED(cuMemAlloc(&pointer, 16));
  SUCCEED(cuMemFree(pointer));
  SUCCEED(cuDevicePrimaryCtxRelease(0));
  EXPECT_RESULT(cuMemAlloc(&pointer, 16), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_RESULT(cuDevicePrimaryCtxRelease(0), CUDA_ERROR_INVALID_CONTEXT);
}

TEST(memory_is_freed_once_and_at_its_beginning) {
  start();
  const CUdeviceptr pointer = allocate(16);
  EXPECT_RESULT(cuMemFree(pointer + 4), CUDA_ERROR_INVALID_VALUE);
  SUCCEED(cuMemFree(pointer));
  EXPECT_RESULT(cuMemFree(pointer), CUDA_ERROR_INVALID_VALUE);
  EXPECT(found("was freed before"));
  float value;
  EXPECT_RESULT(cuMemcpyDtoH(&value, pointer, sizeof value), CUDA_ERROR_INVALID_VALUE);
}

TEST(handles_end_with_their_objects) {
  start();
  CUstream stream;
  SUCCEED(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  SUCCEED(cuStreamDestroy(stream));
  EXPECT_RESULT(cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT(found("the stream was destroyed before"));
  EXPECT_RESULT(cuEventSynchronize(reinterpret_cast<CUevent>(&stream)), CUDA_ERROR_INVALID_HANDLE);
}

TEST(memory_runs_out) {
  start({{"MEMORY", "1M"}});
  size_t free, total;
  SUCCEED(cuMemGetInfo(&free, &total));
  EXPECT(total == 1 << 20 && free == total);
  const CUdeviceptr half = allocate(1 << 17);
  CUdeviceptr pointer;
  EXPECT_RESULT(cuMemAlloc(&pointer, 1 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  SUCCEED(cuMemGetInfo(&free, &total));
  EXPECT(free == 1 << 19);
  SUCCEED(cuMemFree(half));
  SUCCEED(cuMemAlloc(&pointer, 1 << 20));
  EXPECT(simulatorFindings() == 0);
}

TEST(launches_keep_the_limits) {
  start({{"DEVICES", "rtx4090"}});
  CUdeviceptr out = allocate(128);
  unsigned count = 128;
  float value = 1;
  void* parameters[] = {&out, &count, &value};
  const CUfunction fill = function("fill"), big = function("big_shared");
  EXPECT_RESULT(cuLaunchKernel(fill, 0, 1, 1, 32, 1, 1, 0, nullptr, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_RESULT(cuLaunchKernel(fill, 1, 65536, 1, 32, 1, 1, 0, nullptr, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_RESULT(cuLaunchKernel(fill, 1, 1, 1, 129, 1, 1, 0, nullptr, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_RESULT(cuLaunchKernel(big, 1, 1, 1, 32, 1, 1, 60000, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_RESULT(cuFuncSetAttribute(big, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 * 1024),
                CUDA_ERROR_INVALID_VALUE);
  SUCCEED(cuFuncSetAttribute(big, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 60000));
  SUCCEED(cuLaunchKernel(big, 1, 1, 1, 1, 1, 1, 60000, nullptr, nullptr, nullptr));
  SUCCEED(cuCtxSynchronize());
  EXPECT(simulatorFindings() == 0);
}

TEST(a_fault_stays_until_the_context_is_reset) {
  start();
  const CUdeviceptr out = allocate(100);
  launch(function("fill"), out, 128, 1);
  EXPECT_RESULT(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT(simulatorFindings() == 1);
  CUdeviceptr pointer;
  EXPECT_RESULT(cuMemAlloc(&pointer, 16), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_RESULT(cuMemFree(out), CUDA_ERROR_ILLEGAL_ADDRESS);
  SUCCEED(cuDevicePrimaryCtxReset(0));
  SUCCEED(cuMemAlloc(&pointer, 16));
  SUCCEED(cuMemFree(pointer));
  SUCCEED(cuDevicePrimaryCtxRelease(0));
}

TEST(modules_say_what_is_wrong_with_them) {
  start();
  CUmodule module;
  char text[400] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {text, reinterpret_cast<void*>(sizeof text)};
  std::string broken = kKernels;
  broken.replace(broken.find("st.global.f32"), 13, "st.glottal.f32");
  EXPECT_RESULT(cuModuleLoadDataEx(&module, broken.c_str(), 2, options, values), CUDA_ERROR_INVALID_PTX);
  EXPECT(std::string(text).find("glottal") != std::string::npos);
  std::string newer = kKernels;
  newer.replace(newer.find("sm_80"), 5, "sm_90");
  EXPECT_RESULT(cuModuleLoadData(&module, newer.c_str()), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_RESULT(cuModuleLoadData(&module, "hello"), CUDA_ERROR_INVALID_IMAGE);
  module = load_kernels();
  CUfunction function;
  EXPECT_RESULT(cuModuleGetFunction(&function, module, "nobody"), CUDA_ERROR_NOT_FOUND);
  CUdeviceptr table;
  size_t bytes;
  SUCCEED(cuModuleGetGlobal(&table, &bytes, module, "table"));
  EXPECT(bytes == 12);
  unsigned values_of_table[3];
  SUCCEED(cuMemcpyDtoH(values_of_table, table, bytes));
  EXPECT(values_of_table[2] == 3);
  SUCCEED(cuModuleUnload(module));
  EXPECT_RESULT(cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
}

TEST(what_is_left_is_told) {
  start();
  allocate(4);
  load_kernels();
  CUstream stream;
  SUCCEED(cuStreamCreate(&stream, 0));
  void* pinned;
  SUCCEED(cuMemAllocHost(&pinned, 64));
  EXPECT(simulatorFindings() == 0);
  simulatorReportLeaks();
  EXPECT(found("1 allocation (16 bytes in all)"));
  EXPECT(found("1 module"));
  EXPECT(found("1 stream"));
  EXPECT(found("1 pinned range"));
  EXPECT(found("still retained"));
  EXPECT(simulatorFindings() == 5);
}

TEST(a_clean_program_leaves_nothing) {
  start();
  const CUdeviceptr pointer = allocate(4);
  CUevent event;
  SUCCEED(cuEventCreate(&event, 0));
  SUCCEED(cuEventDestroy(event));
  SUCCEED(cuMemFree(pointer));
  SUCCEED(cuDevicePrimaryCtxRelease(0));
  simulatorReportLeaks();
  EXPECT(simulatorFindings() == 0);
}
