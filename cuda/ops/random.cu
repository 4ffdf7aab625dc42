// Random tensors (native/ops/random.h defines the numbers). A thread makes the four numbers of a counter. Bound by
// arithmetic: about 60 instructions of Philox, for normal numbers twice as many more, to 16 bytes that are stored.
// @promises st.global.v4
#include "common/normal.h"
#include "common/samples.h"
#include "cuda/arguments/random.h"

namespace diffuse::cuda {
namespace {

// What a block needs of the attributes, read once.
struct Draw {
  Stream stream;
  float low, range;
};

// y = make(draw, words of a counter...), four elements at a time.
template <typename Make>
__device__ __forceinline__ void write_runs(const RandomArguments& arguments, const Draw& draw, Make&& make) {
  const Samples& samples = arguments.samples;
  for_each_pack<kRun>(samples.count, samples.elements, [&](int64_t n, int32_t first) {
    float numbers[kRun];
    make(numbers, static_cast<uint32_t>(n), static_cast<uint32_t>(first) / kRun);
    store_run<kRun, float>(arguments.y, samples, n, first, numbers);
  });
}

__device__ __forceinline__ Stream stream_of(const RandomArguments& arguments) {
  const double* attributes = arguments.attributes;
  const Reporter& to = arguments.reporter;
  return {word(attributes, 0, to), word(attributes, 1, to), word(attributes, 3, to), word(attributes, 2, to),
          word(attributes, 4, to)};
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kRandomThreads)
    random_normal_f32(const __grid_constant__ RandomArguments arguments) {
  __shared__ Draw draw;
  if (threadIdx.x == 0) draw = {stream_of(arguments), 0, 0};
  __syncthreads();
  write_runs(arguments, draw, [&](float(&z)[kRun], uint32_t n, uint32_t block) { normals(z, draw.stream, n, block); });
}

extern "C" __global__ void __launch_bounds__(kRandomThreads)
    random_uniform_f32(const __grid_constant__ RandomArguments arguments) {
  __shared__ Draw draw;
  if (threadIdx.x == 0) {
    const double low = arguments.attributes[5], high = arguments.attributes[6];
    draw = {stream_of(arguments), static_cast<float>(low), static_cast<float>(high - low)};
  }
  __syncthreads();
  write_runs(arguments, draw, [&](float(&u)[kRun], uint32_t n, uint32_t block) {
    uniforms(u, draw.stream, n, block);
#pragma unroll
    for (int i = 0; i < kRun; i++) u[i] = __fadd_rn(draw.low, __fmul_rn(draw.range, u[i]));
  });
}

}  // namespace diffuse::cuda
