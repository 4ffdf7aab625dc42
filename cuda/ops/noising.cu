// Noising of a training batch (native/ops/noising.h has the formulas): one kernel draws the level of each sample, a
// second one goes over all elements. The second is bound by the arithmetic of normal numbers; the first is small.
// @promises ld.global.v4 st.global.v4
#include "common/normal.h"
#include "common/samples.h"
#include "cuda/arguments/noising.h"

namespace diffuse::cuda {
namespace {

constexpr int kTableColumns = 6;

// Attributes: seedLow, seedHigh, step, sampleOffset, flip, offsetNoise.
__device__ __forceinline__ bool flips(const NoisingArguments& arguments) { return arguments.attributes[4] != 0; }
__device__ __forceinline__ float offset_noise(const NoisingArguments& arguments) {
  return static_cast<float>(arguments.attributes[5]);
}

// The level that is given, or a drawn one.
__device__ __forceinline__ int64_t level_index(const NoisingArguments& arguments, const Stream& timesteps, int64_t n) {
  const int64_t levels = arguments.table.rows;
  if (!arguments.level.data) return uniform_below(philox_word(timesteps, static_cast<uint32_t>(n), 0), levels);
  const float* given = row<const float>(arguments.level, 0);
  const auto is_wrong = [&](int64_t i) {
    return !(given[i] >= 0 && given[i] < static_cast<float>(levels)) || given[i] != truncf(given[i]);
  };
  if (!is_wrong(n)) return static_cast<int64_t>(given[n]);
  report_first(arguments.reporter, kNoLevel, given[n], static_cast<double>(levels), n, is_wrong);
  return 0;
}

__device__ __forceinline__ float pixel(const float* at) { return *at; }
// (v - 127.5) is exact, so this rounds once.
__device__ __forceinline__ float pixel(const uint8_t* at) { return (static_cast<float>(*at) - 127.5f) / 127.5f; }

// Elements from `first` on of an image in [-1, 1], mirrored left to right or not.
template <typename T>
__device__ __forceinline__ void load_image(float (&values)[kRun], const NoisingArguments& arguments, bool mirrored,
                                           int64_t n, int32_t first) {
  const View& images = arguments.images;
  const Samples& samples = arguments.samples;
  if (!mirrored && is_wide<kRun>(images)) {
    const auto pack = *reinterpret_cast<const Pack<T, kRun>*>(element<const T>(images, samples, n, first));
#pragma unroll
    for (int i = 0; i < kRun; i++) values[i] = pixel(&pack.elements[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kRun; i++) {
    int32_t at = first + i;
    if (at >= samples.elements) break;
    if (mirrored) {
      const int32_t x = at / arguments.channels % arguments.width;
      at += (arguments.width - 1 - 2 * x) * arguments.channels;
    }
    values[i] = pixel(element<const T>(images, samples, n, at));
  }
}

template <typename T>
__device__ __forceinline__ void noise_elements(const NoisingArguments& arguments) {
  __shared__ Stream noises;
  __shared__ float strength;
  if (threadIdx.x == 0) {
    noises = known_stream(arguments.attributes, 0, arguments.noise_purpose);
    strength = offset_noise(arguments);
  }
  __syncthreads();
  const Samples& samples = arguments.samples;
  for_each_pack<kRun>(samples.count, samples.elements, [&](int64_t n, int32_t first) {
    const NoiseLevel level = arguments.levels[n];
    float x0[kRun] = {}, eps[kRun], noisy[kRun], wanted[kRun];
    load_image<T>(x0, arguments, level.mirrored, n, first);
    normals(eps, noises, static_cast<uint32_t>(n), static_cast<uint32_t>(first) / kRun);
    if (strength != 0) {
      const float* shifts = arguments.shifts + n * arguments.channels;
#pragma unroll
      for (int i = 0; i < kRun; i++) eps[i] = __fadd_rn(eps[i], shifts[(first + i) % arguments.channels]);
    }
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      noisy[i] = mix(level.signal, x0[i], level.noise, eps[i]);
      wanted[i] = mix(level.target_x0, x0[i], level.target_eps, eps[i]);
    }
    store_run<kRun, float>(arguments.xt, samples, n, first, noisy);
    store_run<kRun, float>(arguments.target, samples, n, first, wanted);
  });
}

}  // namespace

// Two blocks at once on a multiprocessor are enough; with more in mind the compiler spills.
extern "C" __global__ void __launch_bounds__(kNoisingThreads, 2)
    noising_levels(const __grid_constant__ NoisingArguments arguments) {
  __shared__ Stream stream;
  if (threadIdx.x == 0) stream = make_stream(arguments.attributes, 0, 0, arguments.reporter);
  __syncthreads();
  const auto with_purpose = [&](uint32_t purpose) {
    return Stream{stream.seed_low, stream.seed_high, stream.step, purpose, stream.sample_offset};
  };
  const Stream timesteps = with_purpose(arguments.timestep_purpose), flipped = with_purpose(arguments.flip_purpose),
               offsets = with_purpose(arguments.offset_purpose);
  const int64_t samples = arguments.samples.count;
  const bool flip = flips(arguments);
  if (flip && arguments.width == 0 && threadIdx.x == 0) report(arguments.reporter, kNoFlip, 0, 0, 4);
  for (int64_t n = blockIdx.x * blockDim.x + threadIdx.x; n < samples; n += gridDim.x * blockDim.x) {
    const float* numbers = row<const float>(arguments.table, level_index(arguments, timesteps, n));
    const bool mirrored = flip && arguments.width > 0 && philox_word(flipped, static_cast<uint32_t>(n), 0) >> 31;
    arguments.levels[n] = {numbers[0], numbers[1], numbers[2], numbers[3], mirrored};
    row<float>(arguments.weight, 0)[n] = numbers[4];
    row<float>(arguments.timestep, 0)[n] = numbers[5];
    for (int32_t k = 0; k < arguments.extra.channels; k++)
      row<float>(arguments.extra, n)[k] = numbers[kTableColumns + k];
  }
  const float strength = offset_noise(arguments);
  if (strength == 0) return;
  for_each_pack<kRun>(samples, arguments.channels, [&](int64_t n, int32_t c) {
    float z[kRun];
    normals(z, offsets, static_cast<uint32_t>(n), static_cast<uint32_t>(c) / kRun);
    for (int i = 0; i < kRun && c + i < arguments.channels; i++)
      arguments.shifts[n * arguments.channels + c + i] = __fmul_rn(strength, z[i]);
  });
}

extern "C" __global__ void __launch_bounds__(kNoisingThreads)
    noising_u8(const __grid_constant__ NoisingArguments arguments) {
  noise_elements<uint8_t>(arguments);
}

extern "C" __global__ void __launch_bounds__(kNoisingThreads)
    noising_f32(const __grid_constant__ NoisingArguments arguments) {
  noise_elements<float>(arguments);
}

}  // namespace diffuse::cuda
