// What a self-conditioned network is told (native/ops/self_conditioning.h has the formula). Bound by bytes: the samples
// that are told nothing are not read.
// @promises ld.global.v4 st.global.v4
// @moves 48 self_conditioning
#include "common/philox.h"
#include "common/samples.h"
#include "common/unfused.h"
#include "cuda/arguments/self_conditioning.h"

namespace diffuse::cuda {

extern "C" __global__ void __launch_bounds__(kSelfConditioningThreads)
    self_conditioning_f32(const __grid_constant__ SelfConditioningArguments arguments) {
  __shared__ Stream stream;
  __shared__ float limit;
  if (threadIdx.x == 0) {
    const double clip = arguments.attributes[0];
    if (!(clip > 0)) report(arguments.reporter, kClipNotPositive, clip, 0, 0);
    stream = make_stream(arguments.attributes, 1, arguments.purpose, arguments.reporter);
    limit = static_cast<float>(clip);
  }
  __syncthreads();
  const Samples& samples = arguments.samples;
  for_each_pack<kRun>(samples.count, samples.elements, [&](int64_t n, int32_t first) {
    float told[kRun] = {};
    if (philox_word(stream, static_cast<uint32_t>(n), 0) >> 31) {
      const float* factors = row<const float>(arguments.coefficients, n);
      float x[kRun], p[kRun];
      load_run<kRun, float>(x, arguments.xt, samples, n, first);
      load_run<kRun, float>(p, arguments.prediction, samples, n, first);
#pragma unroll
      for (int i = 0; i < kRun; i++) told[i] = clamp(mix(factors[0], x[i], factors[1], p[i]), limit);
    }
    store_run<kRun, float>(arguments.estimate, samples, n, first, told);
  });
}

}  // namespace diffuse::cuda
