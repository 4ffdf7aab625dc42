// Walking over activations. A tensor [N, ..., C] is seen as N samples of P pixels of C channels, where pixel p of
// sample n is the row n * P + p; rows may lie further apart than C (engine/tensor.h).
#pragma once

#include "cpu/parallel.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Elements a task: some microseconds of work, against about one to hand a task to another thread.
constexpr int64_t kGrain = 16384;

// Pixels that are summed in float32 before the sum is added to a float64 total: few enough that float32 sums stay
// accurate, and that the pixels stay in the first-level cache when they are read twice.
constexpr int64_t kBlockPixels = 64;

struct Sizes {
  int64_t N, P, C;
};
DIFFUSE_INLINE Sizes sizes(const Tensor& t) {
  int64_t N = t.rank > 1 ? t.shape[0] : 1;
  return {N, rows(t) / N, channels(t)};
}

// Row `index` of a tensor; of an image the element type T is to be said.
template <typename T = float>
DIFFUSE_INLINE T* row(const Tensor& t, int64_t index) {
  return data_of<T>(t) + index * t.row_stride;
}

// body(T{}) for the element type of an image, float or bf16.
template <typename Body>
DIFFUSE_INLINE auto with_images(const Tensor& image, Body&& body) {
  return image.dtype == DType::bf16 ? body(bf16{}) : body(float{});
}

DIFFUSE_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
DIFFUSE_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
DIFFUSE_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// --- Panels: a few vectors of neighbouring channels that are worked on together, so that their sums stay in registers.

constexpr int kPanelVectors = kRegisters / 8;
constexpr int kPanelChannels = kPanelVectors * kLanes;

template <int Vectors>
struct WholePanel {
  static constexpr int vectors = Vectors;
  static constexpr int64_t channels = Vectors * kLanes;
  template <typename T>
  DIFFUSE_INLINE Vec load(const T* p, int v) {
    return DIFFUSE_ISA::load(p + v * kLanes);
  }
  template <typename T>
  DIFFUSE_INLINE void store(T* p, int v, Vec x) {
    DIFFUSE_ISA::store(p + v * kLanes, x);
  }
};
// The last channels, fewer than a vector. Lanes beyond them read as zero and are never written.
struct TailPanel {
  static constexpr int vectors = 1;
  int64_t channels;
  template <typename T>
  DIFFUSE_INLINE_MEMBER Vec load(const T* p, int) const {
    return load_first(p, channels);
  }
  template <typename T>
  DIFFUSE_INLINE_MEMBER void store(T* p, int, Vec x) const {
    store_first(p, x, channels);
  }
};

// body(panel, c) for consecutive panels that cover [0, count); c is the first channel of the panel.
template <typename Body>
DIFFUSE_INLINE void for_each_panel(int64_t count, Body&& body) {
  int64_t c = 0;
  for (; c + kPanelChannels <= count; c += kPanelChannels) body(WholePanel<kPanelVectors>{}, c);
  for (; c + kLanes <= count; c += kLanes) body(WholePanel<1>{}, c);
  if (c < count) body(TailPanel{count - c}, c);
}

// --- Tasks

// body(begin, end) over [0, count), where each index stands for about `cost` elements of work.
template <typename Body>
DIFFUSE_INLINE void parallel_items(const Call& call, int64_t count, int64_t cost, Body&& body) {
  parallel_ranges(call, count, larger(1, kGrain / larger(1, cost)), body);
}

// body(n, begin, end) over the pixels of every sample.
template <typename Body>
DIFFUSE_INLINE void parallel_pixels(const Call& call, const Sizes& size, Body&& body) {
  const int64_t chunk = larger(1, kGrain / size.C), chunks = ceil_div(size.P, chunk);
  parallel_items(call, size.N * chunks, smaller(chunk, size.P) * size.C, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t first = i % chunks * chunk;
      body(i / chunks, first, smaller(first + chunk, size.P));
    }
  });
}

// body(n, begin, end) over the channels of every sample in pieces of whole multiples of `unit` channels: for sums over
// pixels. Each channel's sum runs over all its pixels in order, so results do not depend on how the channels are
// divided.
template <typename Body>
DIFFUSE_INLINE void parallel_channels(const Call& call, const Sizes& size, int64_t unit, Body&& body) {
  const int64_t step = unit * larger(1, 64 / unit), pieces = ceil_div(size.C, step);
  parallel_items(call, size.N * pieces, smaller(step, size.C) * size.P, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t first = i % pieces * step;
      body(i / pieces, first, smaller(first + step, size.C));
    }
  });
}

// y = f(x...), element by element: To of From. All shapes are equal; y may be one of x if its element type is theirs.
template <typename To, typename From, typename Function, typename... Input>
DIFFUSE_INLINE void transform_elements(const Call& call, Function&& f, const Tensor& y, const Input&... x) {
  const bool flat = is_contiguous(y) && (is_contiguous(x) && ...);
  const int64_t height = flat ? 1 : rows(y), width = flat ? elements(y) : channels(y);
  const auto run = [&](int64_t r, int64_t begin, int64_t end) {
    for_each_panel(end - begin, [&](auto panel, int64_t c) {
      DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
          panel.store(row<To>(y, r) + begin + c, v, f(panel.load(row<From>(x, r) + begin + c, v)...));
    });
  };
  if (height == 1) {
    parallel_ranges(call, width, kGrain, [&](int64_t begin, int64_t end) { run(0, begin, end); });
  } else {
    parallel_items(call, height, width, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) run(r, 0, width);
    });
  }
}

// The same for images of one element type.
template <typename Function, typename... Input>
DIFFUSE_INLINE void transform(const Call& call, Function&& f, const Tensor& y, const Input&... x) {
  with_images(y, [&](auto element) {
    using T = decltype(element);
    transform_elements<T, T>(call, f, y, x...);
  });
}

// y[n, p, c] = f(x[n, p, c], a[n, c]...), where each `a` has one row of C float32 a sample. y may be x.
template <typename Function, typename... Parameter>
DIFFUSE_INLINE void transform_pixels(const Call& call, Function&& f, const Tensor& y, const Tensor& x,
                                     const Parameter&... a) {
  const Sizes size = sizes(y);
  with_images(y, [&](auto element) {
    using T = decltype(element);
    parallel_pixels(call, size, [&](int64_t n, int64_t begin, int64_t end) {
      for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
        for_each_panel(size.C, [&](auto panel, int64_t c) {
          DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
              panel.store(row<T>(y, p) + c, v, f(panel.load(row<T>(x, p) + c, v), panel.load(a(n) + c, v)...));
        });
      }
    });
  });
}

// --- Sums

// total[i] += sum[i] for the channels of a panel, in float64.
template <int Vectors>
DIFFUSE_INLINE void add_to(double* total, const Vec (&sum)[Vectors]) {
  float lanes[Vectors * kLanes];
  DIFFUSE_UNROLL for (int v = 0; v < Vectors; v++) store(lanes + v * kLanes, sum[v]);
  for (int i = 0; i < Vectors * kLanes; i++) total[i] += lanes[i];
}

// Half as many numbers as a Vec has, in float64: exact products and sums of many float32.
typedef double VecDouble __attribute__((vector_size(4 * kLanes)));
typedef float VecHalf __attribute__((vector_size(2 * kLanes)));
constexpr int kDoubles = kLanes / 2;

DIFFUSE_INLINE VecDouble load_doubles(const float* p) {
  VecHalf v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, VecDouble);
}
DIFFUSE_INLINE VecDouble load_first_doubles(const float* p, int64_t n) {
  VecHalf v{};
  __builtin_memcpy(&v, p, 4 * n);
  return __builtin_convertvector(v, VecDouble);
}

// Σ f(x[i]...) over [0, count) in float64, always in the same order; f(0...) must be 0.
template <typename Function, typename... Input>
DIFFUSE_INLINE double sum_doubles(int64_t count, Function&& f, const Input*... x) {
  VecDouble sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kDoubles <= count; i += 4 * kDoubles)
    DIFFUSE_UNROLL for (int v = 0; v < 4; v++) sums[v] += f(load_doubles(x + i + v * kDoubles)...);
  for (; i + kDoubles <= count; i += kDoubles) sums[0] += f(load_doubles(x + i)...);
  if (i < count) sums[1] += f(load_first_doubles(x + i, count - i)...);
  sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int k = 0; k < kDoubles; k++) total += sums[0][k];
  return total;
}

// How sum_samples() divides each of N samples into chunks: one long run of elements where all operands are contiguous,
// otherwise rows.
struct SumPlan {
  bool flat;
  int64_t rows, columns, chunk, chunks;  // a chunk is so many columns where flat, so many rows otherwise
};
template <typename... Input>
DIFFUSE_INLINE SumPlan plan_sum(int64_t N, const Tensor& x, const Input&... other) {
  const int64_t columns = channels(x), height = rows(x) / N;
  if (is_contiguous(x) && (is_contiguous(other) && ...))
    return {true, 1, height * columns, 4 * kGrain, ceil_div(height * columns, 4 * kGrain)};
  const int64_t chunk = larger(1, 4 * kGrain / columns);
  return {false, height, columns, chunk, ceil_div(height, chunk)};
}
// Scratch that sum_samples() needs.
template <typename... Input>
DIFFUSE_INLINE size_t sum_samples_bytes(int64_t N, const Input&... x) {
  return N * plan_sum(N, x...).chunks * sizeof(double);
}

// take(n, total): total = Σ f(x...) over the elements of sample n, in float64, for one sample after the other. Chunks
// are summed in parallel, then in order, so the result does not depend on the number of threads.
template <typename Take, typename Function, typename... Input>
DIFFUSE_INLINE void sum_samples(const Call& call, int64_t N, Take&& take, Function&& f, const Input&... x) {
  const SumPlan plan = plan_sum(N, x...);
  double* partial = reinterpret_cast<double*>(call.scratch);
  const auto at = [&](const Tensor& t, int64_t r, int64_t c) {
    return f32(t) + r * (plan.flat ? plan.columns : t.row_stride) + c;
  };
  parallel_items(call, N * plan.chunks, plan.chunk * (plan.flat ? 1 : plan.columns), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t n = i / plan.chunks, first = i % plan.chunks * plan.chunk;
      partial[i] = 0;
      if (plan.flat) {
        partial[i] = sum_doubles(smaller(plan.chunk, plan.columns - first), f, at(x, n, first)...);
      } else {
        for (int64_t r = first; r < smaller(first + plan.chunk, plan.rows); r++)
          partial[i] += sum_doubles(plan.columns, f, at(x, n * plan.rows + r, 0)...);
      }
    }
  });
  for (int64_t n = 0; n < N; n++) {
    double total = 0;
    for (int64_t i = 0; i < plan.chunks; i++) total += partial[n * plan.chunks + i];
    take(n, total);
  }
}

}  // namespace
}  // namespace diffuse::DIFFUSE_ISA
