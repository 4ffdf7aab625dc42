// Dropout (native/ops/dropout.h has the meaning). A thread takes the four elements of a counter of Philox, whose
// instructions take about as long as the bytes: nothing is stored of the mask, so they are paid again in the gradient.
// @promises ld.global.v4 st.global.v4
#include "common/philox.h"
#include "common/samples.h"
#include "cuda/arguments/dropout.h"

namespace diffuse::cuda {
namespace {

// What a block needs of the attributes, read once.
struct Mask {
  Stream stream;
  float threshold, factor;
};

__device__ __forceinline__ Mask mask_of(const DropoutArguments& arguments) {
  const double* attributes = arguments.attributes;
  const Reporter& to = arguments.reporter;
  const double probability = attributes[0];
  if (!(probability >= 0 && probability < 1)) report(to, kNoProbability, probability, 1, 0);
  const uint32_t layer = word(attributes, 4, to);
  if (layer >> 24) report(to, kLayerTooLarge, layer, 0, 4);
  return {{word(attributes, 1, to), word(attributes, 2, to), word(attributes, 3, to), arguments.purpose | layer << 8,
           word(attributes, 5, to)},
          static_cast<float>(probability),
          static_cast<float>(1 / (1 - probability))};
}

template <typename T>
__device__ __forceinline__ void dropout(const DropoutArguments& arguments) {
  __shared__ Mask mask;
  if (threadIdx.x == 0) mask = mask_of(arguments);
  __syncthreads();
  const Samples& samples = arguments.samples;
  for_each_pack<kRun>(samples.count, samples.elements, [&](int64_t n, int32_t first) {
    float values[kRun], draws[kRun];
    load_run<kRun, T>(values, arguments.x, samples, n, first);
    uniforms(draws, mask.stream, static_cast<uint32_t>(n), static_cast<uint32_t>(first) / kRun);
#pragma unroll
    for (int i = 0; i < kRun; i++) values[i] = draws[i] >= mask.threshold ? values[i] * mask.factor : 0.0f;
    store_run<kRun, T>(arguments.y, samples, n, first, values);
  });
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kDropoutThreads)
    dropout_f32(const __grid_constant__ DropoutArguments arguments) {
  dropout<float>(arguments);
}

extern "C" __global__ void __launch_bounds__(kDropoutThreads)
    dropout_bf16(const __grid_constant__ DropoutArguments arguments) {
  dropout<bf16>(arguments);
}

}  // namespace diffuse::cuda
