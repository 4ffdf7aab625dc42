// Group normalisation on the CPU (ops/group_norm.h has the formulas and the legend).
#include "ops/group_norm.h"

#include <math.h>

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Channels whose coefficients are worked out at a time, on the stack.
constexpr int64_t kSlab = 256;

void expect_groups(const char* kernel, const Tensor& x, const Tensor& mean, const Tensor& rstd) {
  expect_rank(kernel, "x", x, 2, kMaxRank);
  expect_rank(kernel, "mean", mean, 2, 2);
  const int64_t groups = mean.shape[1];
  expect_shape(kernel, "mean", mean, x.shape[0], groups);
  expect_same_shape(kernel, "rstd", rstd, mean);
  expect_contiguous(kernel, "mean", mean);
  expect_contiguous(kernel, "rstd", rstd);
  if (channels(x) % groups)
    fail("ERR_SHAPE", kernel, "%lld channels cannot be divided into %lld groups", (long long)channels(x),
         (long long)groups);
}

// What the forward and the backward pass need of a channel.
struct Coefficients {
  float mean[kSlab], scale[kSlab], beta[kSlab];  // z = (x - mean) scale + beta
};

// Coefficients of the channels [first, first + count) of sample n; count <= kSlab.
void gather(Coefficients& to, int64_t n, int64_t first, int64_t count, int64_t group_channels, const Tensor& mean,
            const Tensor& rstd, const Tensor& gamma, const Tensor& beta) {
  const int64_t G = mean.shape[1];
  for (int64_t k = 0; k < count; k++) {
    const int64_t c = first + k, g = c / group_channels;
    to.mean[k] = f32(mean)[n * G + g];
    to.scale[k] = f32(rstd)[n * G + g] * f32(gamma)[c];
    to.beta[k] = f32(beta)[c];
  }
}

}  // namespace

// --- Statistics

namespace {

// Mean and sum of squared deviations of every channel over a chunk of pixels of a sample.
struct ChannelMoments {
  double *mean, *square;  // [C]
};

// Pixels whose moments one task takes, a whole number of blocks.
int64_t moment_chunk(const Sizes& size) { return kBlockPixels * ceil_div(2 * kGrain, kBlockPixels * size.C); }

// Moments of channel c, ... of a block of pixels merged into those of the `before` pixels that came earlier.
template <typename Panel>
DIFFUSE_INLINE void merge_block(Panel panel, const float* x, int64_t stride, int64_t pixels, int64_t before,
                                ChannelMoments moments, int64_t c) {
  constexpr int V = Panel::vectors;
  // The block lies in the first-level cache from the first pass on.
  Vec shift[V] = {}, sum[V] = {}, square[V] = {};
  for (int64_t p = 0; p < pixels; p++)
    DIFFUSE_UNROLL for (int v = 0; v < V; v++) shift[v] += panel.load(x + p * stride, v);
  DIFFUSE_UNROLL for (int v = 0; v < V; v++) shift[v] *= splat(1.0f / static_cast<float>(pixels));
  for (int64_t p = 0; p < pixels; p++) {
    DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
      const Vec d = panel.load(x + p * stride, v) - shift[v];
      sum[v] += d;
      square[v] = madd(d, d, square[v]);
    }
  }
  float shifts[V * kLanes], sums[V * kLanes], squares[V * kLanes];
  DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
    store(shifts + v * kLanes, shift[v]);
    store(sums + v * kLanes, sum[v]);
    store(squares + v * kLanes, square[v]);
  }
  const double inverse = 1.0 / static_cast<double>(pixels), weight = static_cast<double>(pixels) / (before + pixels);
  for (int64_t k = 0; k < panel.channels; k++) {
    const double mean = shifts[k] + sums[k] * inverse, delta = mean - moments.mean[c + k];
    moments.mean[c + k] += delta * weight;
    moments.square[c + k] += squares[k] - sums[k] * inverse * sums[k] + delta * delta * before * weight;
  }
}

// Mean and 1 / sqrt(variance + eps) of a group from the moments of its channels in every chunk.
void merge_group(const double* moments, const Sizes& size, int64_t chunk, int64_t first, int64_t count, double eps,
                 float* mean, float* rstd) {
  const double elements = static_cast<double>(size.P * count);
  double center = 0;
  const double* at = moments;
  for (int64_t p = 0; p < size.P; p += chunk, at += 2 * size.C)
    for (int64_t c = first; c < first + count; c++) center += at[c] * (smaller(chunk, size.P - p) / elements);
  double square = 0;
  at = moments;
  for (int64_t p = 0; p < size.P; p += chunk, at += 2 * size.C) {
    for (int64_t c = first; c < first + count; c++) {
      const double delta = at[c] - center;
      square += at[size.C + c] + delta * delta * smaller(chunk, size.P - p);
    }
  }
  *mean = static_cast<float>(center);
  *rstd = static_cast<float>(1 / ::sqrt(square / elements + eps));
}

}  // namespace

size_t group_norm_statistics_prepare(const Call& call) {
  const char* kernel = "group_norm_statistics";
  const auto& [mean, rstd, x] = tensors<3>(call);
  const auto& [groups, eps] = attributes<2>(call);
  expect_groups(kernel, x, mean, rstd);
  if (groups != static_cast<double>(mean.shape[1]))
    fail("ERR_ARGUMENT", kernel, "groups is %g, but mean has shape %s", groups, describe(mean).text);
  if (!(eps >= 0)) fail("ERR_ARGUMENT", kernel, "eps must be 0 or more, got %g", eps);
  const Sizes size = sizes(x);
  return 2 * sizeof(double) * size.N * ceil_div(size.P, moment_chunk(size)) * size.C;
}

void group_norm_statistics(const Call& call) {
  const auto& [mean, rstd, x_] = tensors<3>(call);
  const Tensor& x = x_;
  const Sizes size = sizes(x);
  const double eps = call.attributes[1];
  const int64_t G = mean.shape[1], group_channels = size.C / G;
  const int64_t chunk = moment_chunk(size), chunks = ceil_div(size.P, chunk);
  double* moments = reinterpret_cast<double*>(call.scratch);  // [N, chunks, 2, C]

  parallel_items(call, size.N * chunks, smaller(chunk, size.P) * size.C, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const ChannelMoments own{moments + 2 * i * size.C, moments + (2 * i + 1) * size.C};
      for (int64_t c = 0; c < size.C; c++) own.mean[c] = own.square[c] = 0;
      const int64_t first = i % chunks * chunk, last = smaller(first + chunk, size.P);
      for (int64_t p = first; p < last; p += kBlockPixels) {
        const float* block = row(x, i / chunks * size.P + p);
        for_each_panel(size.C, [&](auto panel, int64_t c) {
          merge_block(panel, block + c, x.row_stride, smaller(kBlockPixels, last - p), p - first, own, c);
        });
      }
    }
  });
  float *means = f32(mean), *rstds = f32(rstd);
  parallel_items(call, size.N * G, 4 * chunks * group_channels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const double* sample = moments + i / G * chunks * 2 * size.C;
      merge_group(sample, size, chunk, i % G * group_channels, group_channels, eps, means + i, rstds + i);
    }
  });
}

// --- Forward

namespace {

size_t prepare_forward(const char* kernel, const Call& call) {
  const auto& [y, x, mean, rstd, gamma, beta] = tensors<6>(call);
  expect_groups(kernel, x, mean, rstd);
  expect_same_shape(kernel, "y", y, x);
  expect_shape(kernel, "gamma", gamma, channels(x));
  expect_shape(kernel, "beta", beta, channels(x));
  return 0;
}

template <bool Silu>
DIFFUSE_INLINE void forward(const Call& call) {
  const auto& [y_, x_, mean_, rstd_, gamma_, beta_] = tensors<6>(call);
  const Tensor &y = y_, &x = x_, &mean = mean_, &rstd = rstd_, &gamma = gamma_, &beta = beta_;
  const Sizes size = sizes(x);
  const int64_t group_channels = size.C / mean.shape[1];
  parallel_pixels(call, size, [&](int64_t n, int64_t begin, int64_t end) {
    for (int64_t first = 0; first < size.C; first += kSlab) {
      const int64_t count = smaller(kSlab, size.C - first);
      Coefficients coefficients;
      gather(coefficients, n, first, count, group_channels, mean, rstd, gamma, beta);
      for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
        const float* from = row(x, p) + first;
        float* to = row(y, p) + first;
        for_each_panel(count, [&](auto panel, int64_t c) {
          DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++) {
            const Vec z = madd(panel.load(from + c, v) - panel.load(coefficients.mean + c, v),
                               panel.load(coefficients.scale + c, v), panel.load(coefficients.beta + c, v));
            panel.store(to + c, v, Silu ? z * sigmoid(z) : z);
          }
        });
      }
    }
  });
}

}  // namespace

size_t group_norm_forward_prepare(const Call& call) { return prepare_forward("group_norm_forward", call); }
void group_norm_forward(const Call& call) { forward<false>(call); }
size_t group_norm_silu_forward_prepare(const Call& call) { return prepare_forward("group_norm_silu_forward", call); }
void group_norm_silu_forward(const Call& call) { forward<true>(call); }

// --- Backward. A task takes some whole groups of a sample: it sums A and B over all their pixels, then writes dx while
// the pixels are still in the cache.

namespace {

size_t prepare_backward(const char* kernel, const Call& call) {
  const auto& [dx, dgamma, dbeta, dy, x, mean, rstd, gamma, beta] = tensors<9>(call);
  expect_groups(kernel, x, mean, rstd);
  expect_same_shape(kernel, "dx", dx, x);
  expect_same_shape(kernel, "dy", dy, x);
  expect_shape(kernel, "gamma", gamma, channels(x));
  expect_shape(kernel, "beta", beta, channels(x));
  expect_shape(kernel, "dgamma", dgamma, channels(x));
  expect_shape(kernel, "dbeta", dbeta, channels(x));
  return 2 * sizeof(double) * x.shape[0] * channels(x);
}

// Tensors of the backward pass under their names.
struct Gradient {
  const Tensor &dx, &dgamma, &dbeta, &dy, &x, &mean, &rstd, &gamma, &beta;
  Sizes size;
  int64_t group_channels;
  double* sums;  // [N, 2, C]: Σ dz and Σ dz h over the pixels of a sample

  double* sum_dz(int64_t n) const { return sums + 2 * n * size.C; }
  double* sum_dz_h(int64_t n) const { return sum_dz(n) + size.C; }
};

// Σ dz and Σ dz (x - mean) of the channels of a panel. For SiLU dz is kept in dx for the second pass.
template <bool Silu, typename Panel>
DIFFUSE_INLINE void sum_gradients(Panel panel, const Gradient& g, int64_t n, int64_t c,
                                  const Coefficients& coefficients, int64_t slot) {
  constexpr int V = Panel::vectors;
  const Vec one = splat(1.0f);
  Vec mean[V], scale[V], beta[V];
  DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
    mean[v] = panel.load(coefficients.mean + slot, v);
    scale[v] = panel.load(coefficients.scale + slot, v);
    beta[v] = panel.load(coefficients.beta + slot, v);
  }
  const int64_t P = g.size.P;
  double dz_total[V * kLanes] = {}, product_total[V * kLanes] = {};
  for (int64_t block = 0; block < P; block += kBlockPixels) {
    Vec sum[V] = {}, product[V] = {};
    for (int64_t p = n * P + block; p < n * P + smaller(block + kBlockPixels, P); p++) {
      DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
        const Vec d = panel.load(row(g.x, p) + c, v) - mean[v];
        Vec dz = panel.load(row(g.dy, p) + c, v);
        if constexpr (Silu) {
          const Vec z = madd(d, scale[v], beta[v]), s = sigmoid(z);
          dz *= s * madd(z, one - s, one);
          panel.store(row(g.dx, p) + c, v, dz);
        }
        sum[v] += dz;
        product[v] = madd(dz, d, product[v]);
      }
    }
    add_to(dz_total, sum);
    add_to(product_total, product);
  }
  for (int64_t k = 0; k < panel.channels; k++) {
    g.sum_dz(n)[c + k] = dz_total[k];
    g.sum_dz_h(n)[c + k] = product_total[k] * f32(g.rstd)[n * g.mean.shape[1] + (c + k) / g.group_channels];
  }
}

// dx = dz own - (x - mean) along - level: the formula for dx with what is the same for all pixels worked out.
struct InputGradient {
  float mean[kSlab], own[kSlab], along[kSlab], level[kSlab];
};

// For the channels [first, first + count) of sample n; count <= kSlab.
void gather(InputGradient& to, const Gradient& g, int64_t n, int64_t first, int64_t count) {
  const double M = static_cast<double>(g.size.P * g.group_channels);
  double A = 0, B = 0;
  for (int64_t k = 0; k < count; k++) {
    const int64_t c = first + k, group = c / g.group_channels;
    if (k == 0 || c % g.group_channels == 0) {
      A = B = 0;
      for (int64_t i = group * g.group_channels; i < (group + 1) * g.group_channels; i++) {
        A += f32(g.gamma)[i] * g.sum_dz(n)[i];
        B += f32(g.gamma)[i] * g.sum_dz_h(n)[i];
      }
    }
    const int64_t slot = n * g.mean.shape[1] + group;
    const double r = f32(g.rstd)[slot];
    to.mean[k] = f32(g.mean)[slot];
    to.own[k] = static_cast<float>(r * f32(g.gamma)[c]);
    to.along[k] = static_cast<float>(r * r * B / M);
    to.level[k] = static_cast<float>(r * A / M);
  }
}

template <typename Panel>
DIFFUSE_INLINE void write_input_gradient(Panel panel, const Gradient& g, const Tensor& dz, int64_t n, int64_t c,
                                         const InputGradient& coefficients, int64_t slot) {
  constexpr int V = Panel::vectors;
  Vec mean[V], own[V], along[V], level[V];
  DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
    mean[v] = panel.load(coefficients.mean + slot, v);
    own[v] = panel.load(coefficients.own + slot, v);
    along[v] = panel.load(coefficients.along + slot, v);
    level[v] = panel.load(coefficients.level + slot, v);
  }
  for (int64_t p = n * g.size.P; p < (n + 1) * g.size.P; p++) {
    DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
      const Vec d = panel.load(row(g.x, p) + c, v) - mean[v];
      panel.store(row(g.dx, p) + c, v, nmadd(d, along[v], madd(panel.load(row(dz, p) + c, v), own[v], -level[v])));
    }
  }
}

template <bool Silu>
DIFFUSE_INLINE void backward(const Call& call) {
  const auto& [dx, dgamma, dbeta, dy, x, mean, rstd, gamma, beta] = tensors<9>(call);
  const Sizes size = sizes(x);
  const Gradient g{dx,
                   dgamma,
                   dbeta,
                   dy,
                   x,
                   mean,
                   rstd,
                   gamma,
                   beta,
                   size,
                   size.C / mean.shape[1],
                   reinterpret_cast<double*>(call.scratch)};

  parallel_channels(call, size, g.group_channels, [&](int64_t n, int64_t first, int64_t last) {
    for (int64_t slab = first; slab < last; slab += kSlab) {
      const int64_t count = smaller(kSlab, last - slab);
      Coefficients coefficients;
      gather(coefficients, n, slab, count, g.group_channels, g.mean, g.rstd, g.gamma, g.beta);
      for_each_panel(count,
                     [&](auto panel, int64_t c) { sum_gradients<Silu>(panel, g, n, slab + c, coefficients, c); });
    }
    for (int64_t slab = first; slab < last; slab += kSlab) {
      const int64_t count = smaller(kSlab, last - slab);
      InputGradient coefficients;
      gather(coefficients, g, n, slab, count);
      for_each_panel(count, [&](auto panel, int64_t c) {
        write_input_gradient(panel, g, Silu ? g.dx : g.dy, n, slab + c, coefficients, c);
      });
    }
  });
  for (int64_t c = 0; c < size.C; c++) {
    double dz = 0, dz_h = 0;
    for (int64_t n = 0; n < size.N; n++) {
      dz += g.sum_dz(n)[c];
      dz_h += g.sum_dz_h(n)[c];
    }
    f32(dbeta)[c] = static_cast<float>(dz);
    f32(dgamma)[c] = static_cast<float>(dz_h);
  }
}

}  // namespace

size_t group_norm_backward_prepare(const Call& call) { return prepare_backward("group_norm_backward", call); }
void group_norm_backward(const Call& call) { backward<false>(call); }
size_t group_norm_silu_backward_prepare(const Call& call) { return prepare_backward("group_norm_silu_backward", call); }
void group_norm_silu_backward(const Call& call) { backward<true>(call); }

}  // namespace diffuse::DIFFUSE_ISA
