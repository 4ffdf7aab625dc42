#include "driver/tests/harness.h"

namespace simulator::driver::testing {

const char* const kKernels = R"(
.version 8.0
.target sm_80
.address_size 64

.visible .global .align 4 .u32 table[3] = {1, 2, 3};

.visible .entry fill(.param .u64 out, .param .u32 count, .param .f32 value)
.maxntid 128, 1, 1
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  .reg .f32 %f<3>;
  .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [out];
  ld.param.u32 %r1, [count];
  ld.param.f32 %f1, [value];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra $done;
  cvta.to.global.u64 %rd2, %rd1;
  mul.wide.u32 %rd3, %r5, 4;
  add.s64 %rd4, %rd2, %rd3;
  st.global.f32 [%rd4], %f1;
$done:
  ret;
}

.visible .entry add(.param .u64 out, .param .u32 count, .param .f32 value)
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  .reg .f32 %f<4>;
  .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [out];
  ld.param.u32 %r1, [count];
  ld.param.f32 %f1, [value];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra $done;
  cvta.to.global.u64 %rd2, %rd1;
  mul.wide.u32 %rd3, %r5, 4;
  add.s64 %rd4, %rd2, %rd3;
  ld.global.f32 %f2, [%rd4];
  add.f32 %f3, %f2, %f1;
  st.global.f32 [%rd4], %f3;
$done:
  ret;
}

.extern .shared .align 16 .b8 dynamic[];

.visible .entry big_shared()
{
  .reg .b32 %r<3>;
  mov.u32 %r1, dynamic;
  mov.u32 %r2, 7;
  st.shared.u32 [%r1+59996], %r2;
  ret;
}
)";

CUmodule load_kernels() {
  CUmodule module;
  SUCCEED(cuModuleLoadData(&module, kKernels));
  return module;
}

CUfunction function(const char* name) {
  CUfunction function;
  SUCCEED(cuModuleGetFunction(&function, load_kernels(), name));
  return function;
}

void launch(CUfunction function, CUdeviceptr out, unsigned count, float value, CUstream stream) {
  void* parameters[] = {&out, &count, &value};
  SUCCEED(cuLaunchKernel(function, (count + 127) / 128, 1, 1, 128, 1, 1, 0, stream, parameters, nullptr));
}

CUdeviceptr allocate(unsigned floats) {
  CUdeviceptr pointer;
  SUCCEED(cuMemAlloc(&pointer, floats * sizeof(float)));
  return pointer;
}

std::vector<float> download(CUdeviceptr from, unsigned count) {
  std::vector<float> values(count);
  SUCCEED(cuMemcpyDtoH(values.data(), from, count * sizeof(float)));
  return values;
}

}  // namespace simulator::driver::testing
