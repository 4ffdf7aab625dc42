// The optimizer (native/ops/optimizer.h has the formulas). Both kernels are bound by bytes: four of each gradient, and
// 36 of each parameter with its moments and its average.
// @promises ld.global.v4 st.global.v4
// @moves 64 gradient_norm
// @moves 80 adamw_ema
#include "common/failure.h"
#include "common/image.h"
#include "common/partials.h"
#include "common/pixels.h"
#include "cuda/arguments/optimizer.h"

namespace diffuse::cuda {
namespace {

constexpr int kPack = 4;

// body(width, index) over [begin, end) in steps of the `threads` threads of which this is one: packs of four where
// memory is aligned, then what is left over one by one. begin is a multiple of four.
template <typename Body>
__device__ __forceinline__ void for_each_element(int64_t begin, int64_t end, bool aligned, int64_t thread,
                                                 int64_t threads, Body&& body) {
  const int64_t packed = aligned ? begin + (end - begin) / kPack * kPack : begin;
  for (int64_t i = begin + thread * kPack; i < packed; i += threads * kPack) body(Width<kPack>{}, i);
  for (int64_t i = packed + thread; i < end; i += threads) body(Width<1>{}, i);
}

}  // namespace

// A block sums the squares of one chunk.
extern "C" __global__ void __launch_bounds__(kOptimizerThreads)
    gradient_norm_f32(const __grid_constant__ GradientNormArguments arguments) {
  __shared__ double shared[kOptimizerThreads / kWarp];
  const int64_t begin = blockIdx.x * arguments.chunks.size;
  const int64_t end = min(begin + arguments.chunks.size, arguments.count);
  double sum = 0;
  for_each_element(begin, end, arguments.aligned, threadIdx.x, kOptimizerThreads, [&](auto width, int64_t i) {
    constexpr int N = decltype(width)::value;
    float values[N];
    load(values, arguments.gradient + i);
#pragma unroll
    for (int v = 0; v < N; v++) sum += static_cast<double>(values[v]) * values[v];
  });
  sum = fold_block<kOptimizerThreads>(sum, shared);
  if (threadIdx.x == 0) arguments.partials[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(kFinishThreads)
    gradient_norm_finish(const __grid_constant__ GradientNormArguments arguments) {
  __shared__ double shared[kFinishWarps];
  const double sum = finish_partials(arguments.partials, arguments.chunks.count, 1, shared);
  if (threadIdx.x == 0) *arguments.norm = static_cast<float>(sqrt(sum));
}

namespace {

struct AdamW {
  float gradient_factor, keep, beta1, one_minus_beta1, beta2, one_minus_beta2, root_correction, epsilon, step, ema_step;
  bool skip;
};

// Nothing is changed where the norm is not finite, where an attribute is wrong, and after a kernel before this one has
// found its data wrong: the host will report that, and the step has not happened.
__device__ __forceinline__ AdamW coefficients_of(const AdamwEmaArguments& arguments) {
  const double* a = arguments.attributes;
  const double learning_rate = a[0], beta1 = a[1], beta2 = a[2], epsilon = a[3], weight_decay = a[4],
               bias_correction1 = a[5], bias_correction2 = a[6], clip_norm = a[7], ema_decay = a[8];
  const double length = *arguments.norm;
  AdamW result{};
  if (!(bias_correction1 > 0 && bias_correction2 > 0)) {
    report(arguments.reporter, kNoBiasCorrection, bias_correction1, bias_correction2, 5);
    result.skip = true;
  } else if (!(clip_norm >= 0)) {
    report(arguments.reporter, kNegativeClipNorm, clip_norm, 0, 7);
    result.skip = true;
  } else {
    result.skip = !isfinite(length) || arguments.reporter.failure->code != 0;
  }
  double factor = a[9];
  if (clip_norm > 0 && clip_norm < length * factor + 1e-6) factor *= clip_norm / (length * factor + 1e-6);
  result.gradient_factor = static_cast<float>(factor);
  result.keep = static_cast<float>(1 - learning_rate * weight_decay);
  result.beta1 = static_cast<float>(beta1);
  result.one_minus_beta1 = static_cast<float>(1 - beta1);
  result.beta2 = static_cast<float>(beta2);
  result.one_minus_beta2 = static_cast<float>(1 - beta2);
  result.root_correction = static_cast<float>(1 / sqrt(bias_correction2));
  result.epsilon = static_cast<float>(epsilon);
  result.step = static_cast<float>(learning_rate / bias_correction1);
  result.ema_step = static_cast<float>(1 - ema_decay);
  return result;
}

template <int N>
__device__ __forceinline__ void update(const AdamW& a, const AdamwEmaArguments& arguments, int64_t at) {
  float gradient[N], first[N], second[N], parameter[N], average[N];
  load(gradient, arguments.gradient + at);
  load(first, arguments.first_moment + at);
  load(second, arguments.second_moment + at);
  load(parameter, arguments.parameter + at);
  // With the others: behind their stores it would be waited for on its own.
  if (arguments.ema) load(average, arguments.ema + at);
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float g = gradient[i] * a.gradient_factor;
    first[i] = __fmaf_rn(a.beta1, first[i], __fmul_rn(a.one_minus_beta1, g));
    second[i] = __fmaf_rn(a.beta2, second[i], __fmul_rn(__fmul_rn(a.one_minus_beta2, g), g));
    const float denominator = __fmaf_rn(__fsqrt_rn(second[i]), a.root_correction, a.epsilon);
    parameter[i] = __fmaf_rn(-a.step, first[i] / denominator, __fmul_rn(a.keep, parameter[i]));
  }
  store(arguments.first_moment + at, first);
  store(arguments.second_moment + at, second);
  store(arguments.parameter + at, parameter);
  if (!arguments.ema) return;
#pragma unroll
  for (int i = 0; i < N; i++) average[i] = __fmaf_rn(a.ema_step, parameter[i] - average[i], average[i]);
  store(arguments.ema + at, average);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kOptimizerThreads)
    adamw_ema_f32(const __grid_constant__ AdamwEmaArguments arguments) {
  __shared__ AdamW coefficients;
  if (threadIdx.x == 0) coefficients = coefficients_of(arguments);
  __syncthreads();
  if (coefficients.skip) return;
  const int64_t thread = blockIdx.x * kOptimizerThreads + threadIdx.x, threads = gridDim.x * kOptimizerThreads;
  for_each_element(0, arguments.count, arguments.aligned, thread, threads,
                   [&](auto width, int64_t i) { update<decltype(width)::value>(coefficients, arguments, i); });
}

}  // namespace diffuse::cuda
