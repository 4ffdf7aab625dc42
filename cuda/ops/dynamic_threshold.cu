// Dynamic thresholding (native/ops/dynamic_threshold.h has the formula). A block takes one sample and goes over it six
// times: most of these passes find it in the second-level cache. Bound by what one multiprocessor can load, since
// samples may be fewer than these; a sampler calls it once a step, beside a whole network.
#include "common/failure.h"
#include "common/image.h"
#include "common/unfused.h"
#include "common/warp.h"
#include "cuda/arguments/dynamic_threshold.h"

namespace diffuse::cuda {
namespace {

constexpr int kMostBits = 11, kCounters = 1 << kMostBits;

// What the threads of a block share.
struct Shared {
  uint32_t counts[kCounters];
  uint32_t digit, before, same;
  uint32_t next;
};

// The sample of a block: its own rows of x0. Every thread comes back to the same elements in each pass.
struct Sample {
  View view;
  int64_t first_row;
  int32_t elements;

  template <typename Body>
  __device__ __forceinline__ void each(Body&& body) const {
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < elements; i += kDynamicThresholdThreads)
      body(first_row + i / view.channels, i % view.channels);
  }
  // body(|element| as an integer): in the same order, since it has no sign.
  template <typename Body>
  __device__ __forceinline__ void each_magnitude(Body&& body) const {
    each([&](int64_t r, int32_t c) { body(__float_as_uint(row<const float>(view, r)[c]) & 0x7fffffffu); });
  }
};

// Finds the first counter that, with all before it, counts more than `rank`; one warp, each lane a run of counters.
// Each begins elsewhere in its run: all would ask the same bank.
__device__ __forceinline__ void find_digit(Shared& shared, uint32_t rank) {
  constexpr int kOfLane = kCounters / kWarp;
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t own = 0;
  for (int i = 0; i < kOfLane; i++) own += shared.counts[lane * kOfLane + (i + lane) % kOfLane];
  uint32_t up_to = own;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const uint32_t below = __shfl_up_sync(kAllLanes, up_to, distance);
    if (lane >= distance) up_to += below;
  }
  uint32_t before = up_to - own;
  if (rank < before || rank >= up_to) return;
  int digit = lane * kOfLane;
  for (; before + shared.counts[digit] <= rank; digit++) before += shared.counts[digit];
  shared.digit = static_cast<uint32_t>(digit);
  shared.before = before;
  shared.same = shared.counts[digit];
}

// An element by its place in order of size: its bits, and how many elements are at most as large.
struct Selected {
  uint32_t bits, at_most;
};

// The element that has `rank` others before it. Eleven bits are decided at a time, then ten, then ten: the elements
// that share the bits decided so far are counted by their next ones.
__device__ __forceinline__ Selected select(const Sample& sample, Shared& shared, uint32_t rank) {
  uint32_t bits = 0, decided = 0, before = 0, same = 0;
  for (int shift = 20; shift >= 0; shift -= 10) {
    const uint32_t mask = shift == 20 ? kCounters - 1 : kCounters / 2 - 1;
#pragma unroll
    for (int part = 0; part < kCounters / kDynamicThresholdThreads; part++)
      shared.counts[threadIdx.x + part * kDynamicThresholdThreads] = 0;
    __syncthreads();
    sample.each_magnitude([&](uint32_t element) {
      if ((element & decided) == bits) atomicAdd(&shared.counts[element >> shift & mask], 1u);
    });
    __syncthreads();
    if (threadIdx.x < kWarp) find_digit(shared, rank - before);
    __syncthreads();
    before += shared.before;
    same = shared.same;
    bits |= shared.digit << shift;
    decided |= mask << shift;
  }
  return {bits, before + same};
}

// The quantile of the magnitudes.
__device__ __forceinline__ double quantile_of(const Sample& sample, Shared& shared, double quantile) {
  const double position = quantile * (sample.elements - 1);
  const uint32_t rank = static_cast<uint32_t>(position);
  const double share = position - rank;
  const Selected low = select(sample, shared, rank);
  const double from = __uint_as_float(low.bits);
  if (share == 0) return from;
  if (threadIdx.x == 0) shared.next = low.at_most == rank + 1 ? UINT32_MAX : low.bits;
  __syncthreads();
  if (low.at_most == rank + 1) {
    uint32_t next = UINT32_MAX;
    sample.each_magnitude([&](uint32_t element) {
      if (element > low.bits && element < next) next = element;
    });
    atomicMin(&shared.next, next);
    __syncthreads();
  }
  return from + share * (static_cast<double>(__uint_as_float(shared.next)) - from);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kDynamicThresholdThreads)
    dynamic_threshold_f32(const __grid_constant__ DynamicThresholdArguments arguments) {
  __shared__ Shared shared;
  const double quantile = arguments.attributes[2], largest = arguments.attributes[3];
  const bool no_quantile = !(quantile >= 0 && quantile <= 1);
  if (no_quantile || !(largest >= 1)) {
    if (threadIdx.x == 0)
      report(arguments.reporter, no_quantile ? kNoQuantile : kMaxTooSmall, no_quantile ? quantile : largest, 1, 0);
    return;
  }
  const View &x0 = arguments.x0, &x = arguments.x, &prediction = arguments.prediction;
  const Sample sample{x0, blockIdx.x * arguments.rows_of_sample,
                      static_cast<int32_t>(arguments.rows_of_sample * x0.channels)};
  const float from_x = static_cast<float>(arguments.attributes[0]),
              from_prediction = static_cast<float>(arguments.attributes[1]);
  sample.each([&](int64_t r, int32_t c) {
    row<float>(x0, r)[c] = mix(from_x, row<const float>(x, r)[c], from_prediction, row<const float>(prediction, r)[c]);
  });
  const double found = quantile_of(sample, shared, quantile);
  const float limit = static_cast<float>(found < 1 ? 1 : found > largest ? largest : found);
  sample.each([&](int64_t r, int32_t c) {
    float* at = row<float>(x0, r) + c;
    *at = clamp(*at, limit) / limit;
  });
}

}  // namespace diffuse::cuda
