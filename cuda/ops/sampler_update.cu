// A sampler's step (native/ops/sampler_update.h has the formula), its noise made in passing. Bound by bytes where no
// noise is made, else by the arithmetic of normal numbers.
// @promises ld.global.v4 st.global.v4
#include "common/normal.h"
#include "common/samples.h"
#include "cuda/arguments/sampler_update.h"

namespace diffuse::cuda {
namespace {

// The attributes as the kernel takes them, read once a block.
struct Coefficients {
  float x0_from_x, x0_from_prediction, clip;
  float x, x0, prediction, history, older, noise;
  float memory_from_x, memory_from_x0;
  float middle, slope;  // of half the logarithm of the variance: middle + v slope
  bool noisy;
  Stream stream;
};

__device__ __forceinline__ Coefficients coefficients_of(const SamplerUpdateArguments& arguments) {
  const double* a = arguments.attributes;
  if (!(a[2] > 0)) report(arguments.reporter, kClipNotPositive, a[2], 0, 2);
  const auto number = [&](int i) { return static_cast<float>(a[i]); };
  return {number(0),
          number(1),
          number(2),
          number(3),
          number(4),
          number(5),
          number(6),
          number(7),
          number(8),
          number(9),
          number(10),
          static_cast<float>((a[11] + a[12]) / 4),
          static_cast<float>((a[12] - a[11]) / 4),
          a[8] != 0,
          make_stream(a, 13, arguments.purpose, arguments.reporter)};
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kSamplerUpdateThreads)
    sampler_update_f32(const __grid_constant__ SamplerUpdateArguments arguments) {
  __shared__ Coefficients c;
  if (threadIdx.x == 0) c = coefficients_of(arguments);
  __syncthreads();
  const Samples& samples = arguments.samples;
  for_each_pack<kRun>(samples.count, samples.elements, [&](int64_t n, int32_t first) {
    // Everything is read before anything is written: outputs may be inputs.
    const auto read = [&](float(&values)[kRun], const View& view) {
      load_run<kRun, float>(values, view, samples, n, first);
    };
    const auto write = [&](const View& view, const float(&values)[kRun]) {
      store_run<kRun, float>(view, samples, n, first, values);
    };
    float x[kRun], p[kRun], estimate[kRun], next[kRun], memory[kRun], before[kRun] = {};
    read(x, arguments.x);
    read(p, arguments.prediction);
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      estimate[i] = clamp(mix(c.x0_from_x, x[i], c.x0_from_prediction, p[i]), c.clip);
      next[i] = __fadd_rn(mix(c.x, x[i], c.x0, estimate[i]), __fmul_rn(c.prediction, p[i]));
      memory[i] = mix(c.memory_from_x, x[i], c.memory_from_x0, estimate[i]);
    }
    if (arguments.history.data) {
      read(before, arguments.history);
#pragma unroll
      for (int i = 0; i < kRun; i++) next[i] = multiply_add(c.history, before[i], next[i]);
    }
    if (arguments.older.data) {
      float last[kRun];
      read(last, arguments.older);
#pragma unroll
      for (int i = 0; i < kRun; i++) next[i] = multiply_add(c.older, last[i], next[i]);
    }
    if (c.noisy) {
      float z[kRun];
      if (arguments.noise.data)
        read(z, arguments.noise);
      else
        normals(z, c.stream, static_cast<uint32_t>(n), static_cast<uint32_t>(first) / kRun);
      if (arguments.variance.data) {
        float share[kRun];
        read(share, arguments.variance);
#pragma unroll
        for (int i = 0; i < kRun; i++) z[i] *= expf(__fmaf_rn(share[i], c.slope, c.middle));
      }
#pragma unroll
      for (int i = 0; i < kRun; i++) next[i] = multiply_add(c.noise, z[i], next[i]);
    }
    write(arguments.x0, estimate);
    write(arguments.x_next, next);
    if (arguments.older_next.data) write(arguments.older_next, before);
    if (arguments.history_next.data) write(arguments.history_next, memory);
  });
}

}  // namespace diffuse::cuda
