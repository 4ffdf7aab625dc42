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

template <Finishing F>
struct FinishingIs {
  static constexpr Finishing value = F;
};

// body(FinishingIs<finishing>{})
template <typename Body>
DIFFUSE_INLINE void with_finishing(Finishing finishing, Body&& body) {
  switch (finishing) {
    case Finishing::plain:
      return body(FinishingIs<Finishing::plain>{});
    case Finishing::sum:
      return body(FinishingIs<Finishing::sum>{});
    case Finishing::norm_backward:
      return body(FinishingIs<Finishing::norm_backward>{});
  }
}

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
constexpr int64_t kLineBytes = 64;

// Elements T, float or bf16; so are those of the images in `finish`.
template <typename T>
struct Outputs {
  T* data;
  int64_t stride;  // elements from one pixel to the next
  int64_t N, H, W, K;
  const float* bias;  // [K] or null
  Finish finish;

  // Whether outputs go past the caches where so many vectors are written at a time: an image larger than L2, written in
  // whole cache lines. 6 % of a training step.
  template <int Vectors>
  bool streams() const {
    constexpr int64_t kTogether = Vectors * kLanes;
    return kStreams && kTogether * sizeof(T) == kLineBytes &&
           static_cast<int64_t>(N * H * W * K * sizeof(T)) >= kStreamBytes && K % kTogether == 0 &&
           stride % kTogether == 0 && reinterpret_cast<uintptr_t>(data) % kLineBytes == 0;
  }
};

// The outputs of some vectors of channels, from channel k on; `left` of their lanes exist.
template <Finishing F, typename T, int Vectors = 1>
class OutputVectors {
 public:
  DIFFUSE_INLINE_MEMBER OutputVectors(const Outputs<T>& to, int64_t k, int64_t left)
      : to_(to), finish_(to.finish), k_(k), left_(left), streams_(to.template streams<Vectors>()) {
    each([&](int v) { bias_[v] = to.bias ? get(to.bias + k, v) : zero(); });
  }

  // Before the rows of a chunk of sample n.
  DIFFUSE_INLINE_MEMBER void begin_row(int64_t n) {
    first_ = true;
    each([&](int v) {
      sum_[v] = square_[v] = zero();
      if constexpr (F == Finishing::sum)
        base_[v] = bias_[v] + (finish_.shift.data ? get(row_of<float>(finish_.shift, n), v) : zero());
    });
    if constexpr (F == Finishing::norm_backward) {
      ChannelNorm<Vectors * kLanes> norm{};
      gather(norm, n, k_, left_, finish_.mean, finish_.rstd, finish_.gamma, finish_.beta);
      each([&](int v) {
        mean_[v] = load(norm.mean + v * kLanes);
        scale_[v] = load(norm.scale + v * kLanes);
        beta_[v] = load(norm.beta + v * kLanes);
      });
    }
  }

  DIFFUSE_INLINE_MEMBER void write(int64_t pixel, const Vec (&products)[Vectors]) {
    Vec values[Vectors];
    each([&](int v) { values[v] = finished(pixel, v, products[v]); });
    first_ = false;
    T* at = to_.data + pixel * to_.stride + k_;
    if constexpr (Vectors * kLanes * sizeof(T) == kLineBytes)
      if (streams_) return stream(at, values);
    each([&](int v) { put(at, v, values[v]); });
  }

  // After the rows of a chunk; so many pixels were written.
  DIFFUSE_INLINE_MEMBER void end_row(int64_t row, int64_t pixels) {
    if (F == Finishing::plain || !finish_.chunks.data) return;
    float* to = row_of<float>(finish_.chunks, finish_.chunks.shape[2] * row);
    const int64_t step = finish_.chunks.row_stride;
    each([&](int v) {
      if constexpr (F == Finishing::sum) {
        const Vec mean = sum_[v] * splat(1.0f / static_cast<float>(pixels));
        put(to, v, shift_[v]);
        put(to + step, v, mean);
        put(to + 2 * step, v, max(nmadd(sum_[v], mean, square_[v]), zero()));
      } else {
        put(to, v, sum_[v]);
        put(to + step, v, square_[v]);
      }
    });
  }

 private:
  template <typename Body>
  DIFFUSE_INLINE void each(Body&& body) {
    DIFFUSE_UNROLL
    for (int v = 0; v < Vectors; v++) body(v);
  }
  DIFFUSE_INLINE_MEMBER Vec finished(int64_t pixel, int v, Vec value) {
    if constexpr (F == Finishing::plain) value = value + bias_[v];
    if constexpr (F == Finishing::sum) {
      value = value + base_[v];
      if (finish_.residual.data) value = value + get(row_of<T>(finish_.residual, pixel), v);
      // Deviations from the first pixel: sums of large squares would cancel.
      if (first_) shift_[v] = value;
      const Vec d = value - shift_[v];
      sum_[v] = sum_[v] + d;
      square_[v] = madd(d, d, square_[v]);
    }
    if constexpr (F == Finishing::norm_backward) {
      const Vec x = get(row_of<T>(finish_.x, pixel), v);
      if (finish_.silu) value = value * silu_slope<T>(normalised(x, mean_[v], scale_[v], beta_[v]));
      sum_[v] = sum_[v] + value;
      square_[v] = madd(value, x - mean_[v], square_[v]);
    }
    return value;
  }

  template <typename E>
  DIFFUSE_INLINE_MEMBER E* row_of(const Tensor& t, int64_t index) const {
    return data_of<E>(t) + index * t.row_stride + k_;
  }
  DIFFUSE_INLINE_MEMBER int64_t lanes(int v) const { return at_least(at_most(left_ - v * kLanes, kLanes), 0); }
  template <typename E>
  DIFFUSE_INLINE_MEMBER Vec get(const E* p, int v) const {
    const int64_t count = lanes(v);
    return count == kLanes ? load(p + v * kLanes) : count ? load_first(p + v * kLanes, count) : zero();
  }
  template <typename E>
  DIFFUSE_INLINE_MEMBER void put(E* p, int v, Vec value) const {
    const int64_t count = lanes(v);
    if (count == kLanes)
      store(p + v * kLanes, value);
    else if (count)
      store_first(p + v * kLanes, value, count);
  }

  const Outputs<T>& to_;
  const Finish& finish_;
  const int64_t k_, left_;
  const bool streams_;
  bool first_ = true;
  Vec bias_[Vectors], base_[Vectors]{}, shift_[Vectors]{}, sum_[Vectors]{}, square_[Vectors]{}, mean_[Vectors]{},
      scale_[Vectors]{}, beta_[Vectors]{};
};

// The same as a pass of its own, for outputs that were written without it.
template <Finishing F, typename T>
static void finish_chunks(const Call& call, const Outputs<T>& y) {
  const int64_t chunks = divide_up(y.H, kChunkRows);
  parallel_for(call, y.N * chunks, [&](int64_t index, int) {
    const int64_t n = index / chunks, first = index % chunks * kChunkRows;
    const int64_t begin = (n * y.H + first) * y.W, pixels = at_most(y.H - first, kChunkRows) * y.W;
    for (int64_t k = 0; k < y.K; k += kLanes) {
      const int64_t left = at_most(y.K - k, kLanes);
      OutputVectors<F, T> output(y, k, left);
      output.begin_row(n);
      for (int64_t p = begin; p < begin + pixels; p++) output.write(p, {load_first(y.data + p * y.stride + k, left)});
      output.end_row(index, pixels);
    }
    finish_streams();
  });
}

template <typename T>
static void finish_outputs(const Call& call, Outputs<T> y) {
  y.bias = nullptr;
  if (y.finish.finishing == Finishing::sum) return finish_chunks<Finishing::sum>(call, y);
  if (y.finish.finishing == Finishing::norm_backward) return finish_chunks<Finishing::norm_backward>(call, y);
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
