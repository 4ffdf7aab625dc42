// The loss of models that learn their variance (native/ops/hybrid_loss.h has the formulas). A thread takes an element;
// bound by float64: three exponentials an element, where data are bytes some ten special functions.
#include <limits>

#include "common/image.h"
#include "common/partials.h"
#include "cuda/arguments/hybrid_loss.h"

namespace diffuse::cuda {
namespace {

// At once on a multiprocessor: without the number the compiler wants more of them and spills.
constexpr int kBlocks = 5;

constexpr double kHalfLevel = 1.0 / 255, kLog2Pi = 1.8378770664093453, kRootHalf = 0.7071067811865476,
                 kRootOfInverse2Pi = 0.3989422804014327, kInfinity = std::numeric_limits<double>::infinity();

struct Level {
  double precision, span, kind, log_variance, x0_from_x, x0_from_prediction;
};

__device__ __forceinline__ Level level_of(const HybridLossArguments& arguments, int64_t n) {
  const float* c = row<const float>(arguments.coefficients, n);
  return {c[0], c[1], c[2], c[3], c[4], c[5]};
}

__device__ __forceinline__ double importance_of(const HybridLossArguments& arguments, int64_t n) {
  return arguments.importance ? arguments.importance[n] : 1.0;
}

// φ(z) / P(Z > z) of a standard normal Z, for z >= 0; beyond 5 by the continued fraction z + 1/(z + 2/(z + …))
// (Abramowitz and Stegun 26.2.14).
__device__ __forceinline__ double tail_fraction(double z) {
  if (z < 5) return kRootOfInverse2Pi * exp(-z * z / 2) / (0.5 * erfc(z * kRootHalf));
  double fraction = z;
#pragma unroll 1
  for (int k = 40; k > 0; k--) fraction = z + k / fraction;
  return fraction;
}

// ln P(Z > z), with tail_fraction(z).
__device__ __forceinline__ double log_upper_tail(double z, double fraction) {
  if (z < 5) return log(0.5 * erfc(z * kRootHalf));
  return -z * z / 2 - kLog2Pi / 2 - log(fraction);
}

// The mass of a standard normal Z in [low, high], and its density at both ends over the mass.
struct Interval {
  double log_mass, at_low, at_high;
};

// Of an interval that does not lie below 0.
__device__ __forceinline__ Interval upper_interval(double low, double high) {
  if (low <= 0) {
    const double mass = 0.5 * (erf(high * kRootHalf) + erf(-low * kRootHalf));
    return {log(mass), kRootOfInverse2Pi * exp(-low * low / 2) / mass,
            kRootOfInverse2Pi * exp(-high * high / 2) / mass};
  }
  const double beyond = tail_fraction(low), near = log_upper_tail(low, beyond);
  if (high == kInfinity) return {near, beyond, 0};
  const double share = -expm1(log_upper_tail(high, tail_fraction(high)) - near), at_low = beyond / share;
  return {near + log(share), at_low, at_low * exp((low - high) * (low + high) / 2)};
}

// The mirrored interval has the same mass: look at the one in the upper tail, where nothing cancels.
__device__ __forceinline__ Interval interval(double low, double high) {
  const bool mirrored = high <= 0;
  const Interval upper = upper_interval(mirrored ? -high : low, mirrored ? -low : high);
  return mirrored ? Interval{upper.log_mass, upper.at_high, upper.at_low} : upper;
}

// An element's part of the bound, with its slopes by the prediction and by v.
struct Term {
  double nats, by_prediction, by_v;
};

__device__ __forceinline__ Term term(const Level& level, double e, double v, double x, double target) {
  const double r = (v + 1) / 2 * level.span, half_span = level.span / 2;
  if (level.kind != 2) {
    const double falling = exp(-r), error = level.precision * e * e * falling,
                 by_prediction = -level.precision * e * falling;
    if (level.kind == 0) return {(error + (expm1(-r) + r)) / 2, by_prediction, -(error + expm1(-r)) / 2 * half_span};
    return {(kLog2Pi + level.log_variance + r + error) / 2, by_prediction, (1 - error) / 2 * half_span};
  }
  const double s = exp(-(level.log_variance + r) / 2), d = level.x0_from_prediction * e;
  // The bytes that nothing lies beyond; x0 has been through float32 and is not exact.
  const double x0 = level.x0_from_x * x + level.x0_from_prediction * target;
  const double low = x0 < -1 + kHalfLevel ? -kInfinity : s * (d - kHalfLevel),
               high = x0 > 1 - kHalfLevel ? kInfinity : s * (d + kHalfLevel);
  const Interval mass = interval(low, high);
  // z φ(z) is 0 at infinity.
  const double spread = (mass.at_high == 0 ? 0 : high * mass.at_high) - (mass.at_low == 0 ? 0 : low * mass.at_low);
  return {-mass.log_mass, level.x0_from_prediction * s * (mass.at_high - mass.at_low), spread / 2 * half_span};
}

// An element of a sample: its place, the error of the prediction, and its part of the bound.
struct Element {
  int64_t row;
  int32_t channel;
  double error;
  Term term;
};
__device__ __forceinline__ Element element_of(const HybridLossArguments& arguments, const Level& level, int64_t n,
                                              uint32_t index) {
  const uint32_t C = static_cast<uint32_t>(arguments.target.channels);
  const int64_t m = n * (static_cast<uint32_t>(arguments.samples.elements) / C) + index / C;
  const int32_t c = static_cast<int32_t>(index % C);
  const float* said = row<const float>(arguments.output, m) + c;
  const float target = row<const float>(arguments.target, m)[c], x = row<const float>(arguments.xt, m)[c];
  const double error = static_cast<double>(target) - said[0];
  return {m, c, error, term(level, error, said[C], x, target)};
}

}  // namespace

// A block sums the squares and the bound of one chunk of one sample.
extern "C" __global__ void __launch_bounds__(kHybridLossThreads, kBlocks)
    hybrid_loss_forward_f32(const __grid_constant__ HybridLossArguments arguments) {
  __shared__ double shared[2][kHybridLossThreads / kWarp];
  const Chunks& chunks = arguments.chunks;
  const int64_t n = blockIdx.x / chunks.count, begin = blockIdx.x % chunks.count * chunks.size;
  const int64_t end = min(begin + chunks.size, static_cast<int64_t>(arguments.samples.elements));
  const Level level = level_of(arguments, n);
  double squares = 0, nats = 0;
  for (int64_t at = begin + threadIdx.x; at < end; at += kHybridLossThreads) {
    const Element element = element_of(arguments, level, n, static_cast<uint32_t>(at));
    squares += element.error * element.error;
    nats += element.term.nats;
  }
  squares = fold_block<kHybridLossThreads>(squares, shared[0]);
  nats = fold_block<kHybridLossThreads>(nats, shared[1]);
  if (threadIdx.x > 0) return;
  arguments.partials[2 * blockIdx.x] = squares;
  arguments.partials[2 * blockIdx.x + 1] = nats;
}

// One block; a warp sums the chunks of a sample. Attributes: simpleWeight, boundWeight, boundScale, throughMean.
extern "C" __global__ void __launch_bounds__(kFinishThreads)
    hybrid_loss_finish(const __grid_constant__ HybridLossArguments arguments) {
  __shared__ double shared[2][kFinishWarps];
  const double simple_weight = arguments.attributes[0], bound_weight = arguments.attributes[1],
               bound_scale = arguments.attributes[2];
  const double elements = arguments.samples.elements, samples = static_cast<double>(arguments.samples.count);
  const int32_t chunks = arguments.chunks.count;
  double total = 0, total_bound = 0;
  for (int64_t n = threadIdx.x / kWarp; n < arguments.samples.count; n += kFinishWarps) {
    const double* partials = arguments.partials + 2 * n * chunks;
    const double squares = fold_partials(partials, chunks, 2), nats = fold_partials(partials + 1, chunks, 2);
    const double own_bound = bound_scale * nats / elements;
    const double own = simple_weight * arguments.weight[n] * squares / elements + bound_weight * own_bound;
    if (threadIdx.x % kWarp == 0) arguments.per_sample[n] = static_cast<float>(own);
    total += importance_of(arguments, n) * own;
    total_bound += importance_of(arguments, n) * own_bound;
  }
  total = fold_leaders<kFinishThreads>(total, shared[0]);
  total_bound = fold_leaders<kFinishThreads>(total_bound, shared[1]);
  if (threadIdx.x > 0) return;
  *arguments.loss = static_cast<float>(total / samples);
  *arguments.bound = static_cast<float>(total_bound / samples);
}

extern "C" __global__ void __launch_bounds__(kHybridLossThreads, kBlocks)
    hybrid_loss_backward_f32(const __grid_constant__ HybridLossArguments arguments) {
  const double simple = arguments.attributes[0], bound = arguments.attributes[1] * arguments.attributes[2],
               mean = arguments.attributes[3] != 0 ? bound : 0;
  const Chunks& chunks = arguments.chunks;
  const int32_t C = arguments.target.channels;
  const int64_t n = blockIdx.x / chunks.count, begin = blockIdx.x % chunks.count * chunks.size;
  const int64_t end = min(begin + chunks.size, static_cast<int64_t>(arguments.samples.elements));
  const Level level = level_of(arguments, n);
  const double factor = *arguments.dloss / (static_cast<double>(arguments.samples.count) * arguments.samples.elements);
  const double own = factor * importance_of(arguments, n), slope = -2 * simple * arguments.weight[n];
  for (int64_t at = begin + threadIdx.x; at < end; at += kHybridLossThreads) {
    const Element element = element_of(arguments, level, n, static_cast<uint32_t>(at));
    // Not 0 times an infinity where the bound does not count.
    const double by_mean = mean == 0 ? 0 : mean * element.term.by_prediction;
    float* gradient = row<float>(arguments.doutput, element.row) + element.channel;
    gradient[0] = static_cast<float>(own * (slope * element.error + by_mean));
    gradient[C] = static_cast<float>(own * bound * element.term.by_v);
  }
}

}  // namespace diffuse::cuda
