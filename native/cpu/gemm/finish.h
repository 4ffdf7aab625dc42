// What a convolution does to its outputs before it writes them (ops/conv2d.h).
#pragma once

#include "cpu/gemm/pack.h"
#include "cpu/normalise.h"
#include "cpu/parallel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

enum class Finishing {
  plain,
  sum,            // plus a vector of channels of the sample, plus an image; moments of the result
  norm_backward,  // through a normalisation of x: the outputs are dy, dz is written; sums of dz
};

struct Finish {
  Finishing finishing = Finishing::plain;
  // sum: each may be absent
  Tensor shift, residual;
  // norm_backward
  bool silu = false;
  Tensor x, mean, rstd, gamma, beta;
  // Moments or sums of every kChunkRows rows (ops/group_norm.h), or absent.
  Tensor chunks;
};

// Whether an image is added and no more, which a product does as it writes its sums.
DIFFUSE_INLINE bool adds_only(const Finish& f) {
  return f.finishing == Finishing::sum && !f.shift.data && !f.chunks.data;
}

constexpr int64_t kChunkRows = 4;
constexpr int64_t kStreamBytes = 2 << 20;

struct Outputs {
  float* data;
  int64_t stride;  // floats from one pixel to the next
  int64_t N, H, W, K;
  const float* bias;  // [K] or null
  Finish finish;

  // Whether outputs go past the caches: an image larger than L2, written in whole cache lines. 6 % of a training step.
  bool streams() const {
    return kStreams && N * H * W * K * 4 >= kStreamBytes && K % kLanes == 0 && stride % kLanes == 0 &&
           reinterpret_cast<uintptr_t>(data) % (4 * kLanes) == 0;
  }
};

// The outputs of a vector of channels, from channel k on; `left` of its lanes exist.
template <Finishing F>
class OutputVector {
 public:
  DIFFUSE_INLINE_MEMBER OutputVector(const Outputs& to, int64_t k, int64_t left)
      : to_(to),
        finish_(to.finish),
        k_(k),
        left_(left),
        bias_(to.bias ? get(to.bias + k) : zero()),
        streams_(to.streams()) {}

  // Before the tiles of a row of sample n.
  DIFFUSE_INLINE_MEMBER void begin_row(int64_t n) {
    first_ = true;
    sum_ = square_ = zero();
    if constexpr (F == Finishing::sum) base_ = bias_ + (finish_.shift.data ? get(row_of(finish_.shift, n)) : zero());
    if constexpr (F == Finishing::norm_backward) {
      ChannelNorm<kLanes> norm{};
      gather(norm, n, k_, left_, finish_.mean, finish_.rstd, finish_.gamma, finish_.beta);
      mean_ = load(norm.mean), scale_ = load(norm.scale), beta_ = load(norm.beta);
    }
  }

  DIFFUSE_INLINE_MEMBER void write(int64_t pixel, Vec value) {
    if constexpr (F == Finishing::plain) value = value + bias_;
    if constexpr (F == Finishing::sum) {
      value = value + base_;
      if (finish_.residual.data) value = value + get(row_of(finish_.residual, pixel));
      // Deviations from the first pixel: sums of large squares would cancel.
      if (first_) shift_ = value;
      first_ = false;
      const Vec d = value - shift_;
      sum_ = sum_ + d;
      square_ = madd(d, d, square_);
    }
    if constexpr (F == Finishing::norm_backward) {
      const Vec x = get(row_of(finish_.x, pixel));
      if (finish_.silu) value = value * silu_slope(normalised(x, mean_, scale_, beta_));
      sum_ = sum_ + value;
      square_ = madd(value, x - mean_, square_);
    }
    float* at = to_.data + pixel * to_.stride + k_;
    if (streams_)
      stream(at, value);
    else
      put(at, value);
  }

  // After the tiles of a row; so many pixels were written.
  DIFFUSE_INLINE_MEMBER void end_row(int64_t row, int64_t pixels) {
    if (F == Finishing::plain || !finish_.chunks.data) return;
    float* to = row_of(finish_.chunks, finish_.chunks.shape[2] * row);
    const int64_t step = finish_.chunks.row_stride;
    if constexpr (F == Finishing::sum) {
      const Vec mean = sum_ * splat(1.0f / static_cast<float>(pixels));
      put(to, shift_);
      put(to + step, mean);
      put(to + 2 * step, max(nmadd(sum_, mean, square_), zero()));
    } else {
      put(to, sum_);
      put(to + step, square_);
    }
  }

 private:
  DIFFUSE_INLINE_MEMBER float* row_of(const Tensor& t, int64_t index) const {
    return f32(t) + index * t.row_stride + k_;
  }
  DIFFUSE_INLINE_MEMBER Vec get(const float* p) const { return left_ == kLanes ? load(p) : load_first(p, left_); }
  DIFFUSE_INLINE_MEMBER void put(float* p, Vec v) const { left_ == kLanes ? store(p, v) : store_first(p, v, left_); }

  const Outputs& to_;
  const Finish& finish_;
  const int64_t k_, left_;
  const Vec bias_;
  const bool streams_;
  bool first_ = true;
  Vec base_{}, shift_{}, sum_{}, square_{}, mean_{}, scale_{}, beta_{};
};

// The same as a pass of its own, for outputs that were written without it.
template <Finishing F>
static void finish_chunks(const Call& call, const Outputs& y) {
  const int64_t chunks = divide_up(y.H, kChunkRows);
  parallel_for(call, y.N * chunks, [&](int64_t index, int) {
    const int64_t n = index / chunks, first = index % chunks * kChunkRows;
    const int64_t begin = (n * y.H + first) * y.W, pixels = at_most(y.H - first, kChunkRows) * y.W;
    for (int64_t k = 0; k < y.K; k += kLanes) {
      const int64_t left = at_most(y.K - k, kLanes);
      OutputVector<F> output(y, k, left);
      output.begin_row(n);
      for (int64_t p = begin; p < begin + pixels; p++) output.write(p, load_first(y.data + p * y.stride + k, left));
      output.end_row(index, pixels);
    }
    finish_streams();
  });
}

static void finish_outputs(const Call& call, Outputs y) {
  y.bias = nullptr;
  if (y.finish.finishing == Finishing::sum) return finish_chunks<Finishing::sum>(call, y);
  if (y.finish.finishing == Finishing::norm_backward) return finish_chunks<Finishing::norm_backward>(call, y);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
