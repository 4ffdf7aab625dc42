// What group normalisation does to one pixel (ops/group_norm.h), for the kernels that do it in passing.
#pragma once

#include "cpu/simd.h"
#include "engine/tensor.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// z = (x - mean) scale + beta, for a vector of channels of one sample.
DIFFUSE_INLINE Vec normalised(Vec x, Vec mean, Vec scale, Vec beta) { return madd(x - mean, scale, beta); }

// Those numbers of the channels of a sample, Count at most.
template <int Count>
struct ChannelNorm {
  float mean[Count], scale[Count], beta[Count];
};

// Of the channels [first, first + count) of sample n; the rest is left as it is.
template <int Count>
DIFFUSE_INLINE void gather(ChannelNorm<Count>& to, int64_t n, int64_t first, int64_t count, const Tensor& mean,
                           const Tensor& rstd, const Tensor& gamma, const Tensor& beta) {
  const int64_t G = mean.shape[1], group_channels = gamma.shape[0] / G;
  for (int64_t k = 0; k < count; k++) {
    const int64_t c = first + k, slot = n * G + c / group_channels;
    to.mean[k] = f32(mean)[slot];
    to.scale[k] = f32(rstd)[slot] * f32(gamma)[c];
    to.beta[k] = f32(beta)[c];
  }
}

// For images of T.
template <typename T = float>
DIFFUSE_INLINE Vec silu(Vec z) {
  return z * sigmoid_for<T>(z);
}
// d silu / dz
template <typename T = float>
DIFFUSE_INLINE Vec silu_slope(Vec z) {
  const Vec s = sigmoid_for<T>(z);
  return s * madd(z, splat(1.0f) - s, splat(1.0f));
}

// dx = dz own - (x - mean) along - level
struct NormaliseGradient {
  Vec mean, own, along, level;
};
DIFFUSE_INLINE Vec input_gradient(const NormaliseGradient& g, Vec dz, Vec x) {
  return nmadd(x - g.mean, g.along, madd(dz, g.own, -g.level));
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
