// Group normalisation on the CPU (ops/group_norm.h has the formulas and the legend).
#include "ops/group_norm.h"

#include <math.h>

#include "cpu/expect.h"
#include "cpu/normalise.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// [N, Q, numbers, C] beside x, Q chunks of `chunk` pixels.
void expect_chunks(const char* kernel, const char* name, const Tensor& t, const Tensor& x, double chunk,
                   int64_t numbers) {
  if (!(chunk >= 1) || chunk != static_cast<double>(static_cast<int64_t>(chunk)))
    fail("ERR_ARGUMENT", kernel, "chunk must be an integer of 1 or more, got %g", chunk);
  const Sizes size = sizes(x);
  expect_shape(kernel, name, t, size.N, ceil_div(size.P, static_cast<int64_t>(chunk)), numbers, size.C);
}

void expect_chunk_count(const char* kernel, double pixels, double chunk, int64_t chunks) {
  if (!(chunk >= 1 && pixels >= 1 && ::ceil(pixels / chunk) == static_cast<double>(chunks)))
    fail("ERR_ARGUMENT", kernel, "%g pixels in chunks of %g are not %lld chunks", pixels, chunk, (long long)chunks);
}

void expect_table(const char* kernel, const char* name, const Tensor& t, int64_t N, int64_t numbers, int64_t C) {
  expect_shape(kernel, name, t, N, numbers, C);
  expect_contiguous(kernel, name, t);
}

void expect_groups(const char* kernel, const Tensor& mean, const Tensor& rstd, int64_t N, int64_t C) {
  expect_rank(kernel, "mean", mean, 2, 2);
  const int64_t groups = mean.shape[1];
  expect_shape(kernel, "mean", mean, N, groups);
  expect_same_shape(kernel, "rstd", rstd, mean);
  expect_contiguous(kernel, "mean", mean);
  expect_contiguous(kernel, "rstd", rstd);
  if (C % groups)
    fail("ERR_SHAPE", kernel, "%lld channels cannot be divided into %lld groups", (long long)C, (long long)groups);
}

// The table's row of a number of channel 0 of a sample.
DIFFUSE_INLINE const float* table_row(const Tensor& table, int64_t n, int64_t number) {
  return f32(table) + (n * table.shape[1] + number) * channels(table);
}
// Row `which` of chunk q of sample n.
DIFFUSE_INLINE float* chunk_row(const Tensor& t, int64_t n, int64_t q, int64_t which) {
  return row(t, (n * t.shape[1] + q) * t.shape[2] + which);
}

// body(n, q, first, last) for every chunk of every sample: its pixels are [first, last) of the sample.
template <typename Body>
DIFFUSE_INLINE void parallel_chunks(const Call& call, const Sizes& size, int64_t chunk, Body&& body) {
  const int64_t chunks = ceil_div(size.P, chunk);
  parallel_items(call, size.N * chunks, smaller(chunk, size.P) * size.C, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t first = i % chunks * chunk;
      body(i / chunks, i % chunks, first, smaller(first + chunk, size.P));
    }
  });
}

}  // namespace

// --- Moments of channels

size_t channel_moments_prepare(const Call& call) {
  const auto& [moments, x] = tensors<2>(call);
  expect_rank("channel_moments", "x", x, 2, kMaxRank);
  expect_chunks("channel_moments", "moments", moments, x, call.attributes[0], kMoments);
  return 0;
}

namespace {

// The moments of the channels of a panel over a chunk; `step` floats from one of the three to the next.
template <typename Panel>
DIFFUSE_INLINE void take_moments(Panel panel, const float* x, int64_t stride, int64_t pixels, float* moments,
                                 int64_t step) {
  constexpr int V = Panel::vectors;
  // Means count from the first pixel.
  double means[V * kLanes] = {}, squares[V * kLanes] = {};
  for (int64_t before = 0; before < pixels; before += kBlockPixels) {
    const int64_t count = smaller(kBlockPixels, pixels - before);
    // The block lies in the first-level cache from the first pass on.
    const float* block = x + before * stride;
    Vec shift[V] = {}, sum[V] = {}, product[V] = {};
    for (int64_t p = 0; p < count; p++)
      DIFFUSE_UNROLL for (int v = 0; v < V; v++) shift[v] += panel.load(block + p * stride, v);
    DIFFUSE_UNROLL for (int v = 0; v < V; v++) shift[v] *= splat(1.0f / static_cast<float>(count));
    for (int64_t p = 0; p < count; p++) {
      DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
        const Vec d = panel.load(block + p * stride, v) - shift[v];
        sum[v] += d;
        product[v] = madd(d, d, product[v]);
      }
    }
    float shifts[V * kLanes], sums[V * kLanes], products[V * kLanes];
    DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
      store(shifts + v * kLanes, shift[v]);
      store(sums + v * kLanes, sum[v]);
      store(products + v * kLanes, product[v]);
    }
    const double inverse = 1.0 / count, weight = static_cast<double>(count) / (before + count);
    for (int64_t k = 0; k < panel.channels; k++) {
      const double own = static_cast<double>(shifts[k]) - x[k] + sums[k] * inverse, delta = own - means[k];
      means[k] += delta * weight;
      squares[k] += products[k] - sums[k] * inverse * sums[k] + delta * delta * before * weight;
    }
  }
  for (int64_t k = 0; k < panel.channels; k++) {
    moments[k] = x[k];
    moments[step + k] = static_cast<float>(means[k]);
    moments[2 * step + k] = static_cast<float>(squares[k]);
  }
}

}  // namespace

void channel_moments(const Call& call) {
  const auto& [moments, x_] = tensors<2>(call);
  const Tensor& x = x_;
  const Sizes size = sizes(x);
  parallel_chunks(call, size, call.attributes[0], [&, &m = moments](int64_t n, int64_t q, int64_t first, int64_t last) {
    const float* from = row(x, n * size.P + first);
    for_each_panel(size.C, [&](auto panel, int64_t c) {
      take_moments(panel, from + c, x.row_stride, last - first, chunk_row(m, n, q, 0) + c, m.row_stride);
    });
  });
}

// --- Statistics of groups

namespace {

// Mean of channel c over chunk q. A sum in double: the shift may be far larger than the deviation from it.
DIFFUSE_INLINE double chunk_mean(const Tensor& moments, int64_t n, int64_t q, int64_t c) {
  return static_cast<double>(chunk_row(moments, n, q, 0)[c]) + chunk_row(moments, n, q, 1)[c];
}

}  // namespace

size_t group_norm_statistics_prepare(const Call& call) {
  const char* kernel = "group_norm_statistics";
  const auto& [mean, rstd, moments] = tensors<3>(call);
  const auto& [eps, pixels, chunk] = attributes<3>(call);
  expect_rank(kernel, "moments", moments, 4, 4);
  const int64_t N = moments.shape[0], C = moments.shape[3];
  expect_shape(kernel, "moments", moments, N, moments.shape[1], kMoments, C);
  expect_groups(kernel, mean, rstd, N, C);
  if (!(eps >= 0)) fail("ERR_ARGUMENT", kernel, "eps must be 0 or more, got %g", eps);
  expect_chunk_count(kernel, pixels, chunk, moments.shape[1]);
  return 2 * sizeof(double) * N * C;
}

void group_norm_statistics(const Call& call) {
  const auto& [mean, rstd, moments] = tensors<3>(call);
  const double eps = call.attributes[0];
  const int64_t pixels = call.attributes[1], chunk = call.attributes[2];
  const int64_t G = mean.shape[1], C = channels(moments), count = C / G, chunks = moments.shape[1];
  const double elements = static_cast<double>(pixels * count);
  float *means = f32(mean), *rstds = f32(rstd);
  parallel_items(call, mean.shape[0], 2 * chunks * C, [&, &m = moments](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      // Of every channel: its sum, and its squared deviations from the mean of its group.
      double *sum = reinterpret_cast<double*>(call.scratch) + 2 * n * C, *square = sum + C;
      for (int64_t c = 0; c < C; c++) sum[c] = square[c] = 0;
      for (int64_t q = 0; q < chunks; q++) {
        const double size = smaller(chunk, pixels - q * chunk);
        for (int64_t c = 0; c < C; c++) sum[c] += chunk_mean(m, n, q, c) * size;
      }
      for (int64_t first = 0; first < C; first += count) {
        double total = 0;
        for (int64_t c = first; c < first + count; c++) total += sum[c];
        for (int64_t c = first; c < first + count; c++) sum[c] = total / elements;
        means[n * G + first / count] = static_cast<float>(total / elements);
      }
      for (int64_t q = 0; q < chunks; q++) {
        const double size = smaller(chunk, pixels - q * chunk);
        const float* squares = chunk_row(m, n, q, 2);
        for (int64_t c = 0; c < C; c++) {
          const double deviation = chunk_mean(m, n, q, c) - sum[c];
          square[c] += squares[c] + deviation * deviation * size;
        }
      }
      for (int64_t first = 0; first < C; first += count) {
        double total = 0;
        for (int64_t c = first; c < first + count; c++) total += square[c];
        rstds[n * G + first / count] = static_cast<float>(1 / ::sqrt(total / elements + eps));
      }
    }
  });
}

// --- Forward

namespace {

// Channels whose numbers are worked out at a time, on the stack.
constexpr int64_t kSlab = 256;

void expect_norm(const char* kernel, const Tensor& x, const Tensor& mean, const Tensor& rstd, const Tensor& gamma,
                 const Tensor& beta) {
  expect_rank(kernel, "x", x, 2, kMaxRank);
  expect_groups(kernel, mean, rstd, x.shape[0], channels(x));
  expect_shape(kernel, "gamma", gamma, channels(x));
  expect_shape(kernel, "beta", beta, channels(x));
}

// body(norm, first, count) for the slabs of channels of sample n.
template <typename Body>
DIFFUSE_INLINE void for_each_slab(int64_t n, int64_t C, const Tensor& mean, const Tensor& rstd, const Tensor& gamma,
                                  const Tensor& beta, Body&& body) {
  for (int64_t first = 0; first < C; first += kSlab) {
    const int64_t count = smaller(kSlab, C - first);
    ChannelNorm<kSlab> norm;
    gather(norm, n, first, count, mean, rstd, gamma, beta);
    body(norm, first, count);
  }
}

template <bool Silu>
DIFFUSE_INLINE void forward(const Call& call) {
  const auto& [y_, x_, mean_, rstd_, gamma_, beta_] = tensors<6>(call);
  const Tensor &y = y_, &x = x_, &mean = mean_, &rstd = rstd_, &gamma = gamma_, &beta = beta_;
  const Sizes size = sizes(x);
  parallel_pixels(call, size, [&](int64_t n, int64_t begin, int64_t end) {
    for_each_slab(n, size.C, mean, rstd, gamma, beta,
                  [&](const ChannelNorm<kSlab>& norm, int64_t first, int64_t count) {
                    for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
                      const float* from = row(x, p) + first;
                      float* to = row(y, p) + first;
                      for_each_panel(count, [&](auto panel, int64_t c) {
                        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++) {
                          const Vec z = normalised(panel.load(from + c, v), panel.load(norm.mean + c, v),
                                                   panel.load(norm.scale + c, v), panel.load(norm.beta + c, v));
                          panel.store(to + c, v, Silu ? silu(z) : z);
                        }
                      });
                    }
                  });
  });
}

}  // namespace

size_t normalise_forward_prepare(const Call& call) {
  const auto& [y, x, mean, rstd, gamma, beta] = tensors<6>(call);
  expect_norm("normalise_forward", x, mean, rstd, gamma, beta);
  expect_same_shape("normalise_forward", "y", y, x);
  return 0;
}

void normalise_forward(const Call& call) { call.attributes[0] != 0 ? forward<true>(call) : forward<false>(call); }

// --- Backward

size_t normalise_backward_prepare(const Call& call) {
  const char* kernel = "normalise_backward";
  const auto& [dz, sums, dy, x, mean, rstd, gamma, beta] = tensors<8>(call);
  const auto& [silu, chunk] = attributes<2>(call);
  expect_norm(kernel, x, mean, rstd, gamma, beta);
  expect_same_shape(kernel, "dy", dy, x);
  expect_chunks(kernel, "sums", sums, x, chunk, 2);
  if (dz.data) expect_same_shape(kernel, "dz", dz, x);
  if (!dz.data && silu != 0) fail("ERR_ARGUMENT", kernel, "dz is missing: with SiLU it differs from dy");
  return 0;
}

namespace {

template <bool Silu>
DIFFUSE_INLINE void backward(const Call& call) {
  const auto& [dz_, sums_, dy_, x_, mean_, rstd_, gamma_, beta_] = tensors<8>(call);
  const Tensor &dz = dz_, &sums = sums_, &dy = dy_, &x = x_;
  const Tensor &mean = mean_, &rstd = rstd_, &gamma = gamma_, &beta = beta_;
  const Sizes size = sizes(x);
  const auto panel_sums = [&](auto panel, const ChannelNorm<kSlab>& norm, int64_t slot, int64_t c, int64_t n, int64_t q,
                              int64_t first, int64_t last) {
    constexpr int V = decltype(panel)::vectors;
    Vec means[V], scales[V], betas[V];
    DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
      means[v] = panel.load(norm.mean + slot, v);
      scales[v] = panel.load(norm.scale + slot, v);
      betas[v] = panel.load(norm.beta + slot, v);
    }
    double totals[2][V * kLanes] = {};
    for (int64_t block = first; block < last; block += kBlockPixels) {
      Vec sum[V] = {}, product[V] = {};
      for (int64_t p = n * size.P + block; p < n * size.P + smaller(block + kBlockPixels, last); p++) {
        DIFFUSE_UNROLL for (int v = 0; v < V; v++) {
          const Vec from = panel.load(row(x, p) + c, v);
          Vec d = panel.load(row(dy, p) + c, v);
          if constexpr (Silu) {
            d *= silu_slope(normalised(from, means[v], scales[v], betas[v]));
            panel.store(row(dz, p) + c, v, d);
          }
          sum[v] += d;
          product[v] = madd(d, from - means[v], product[v]);
        }
      }
      add_to(totals[0], sum);
      add_to(totals[1], product);
    }
    for (int which = 0; which < 2; which++)
      for (int64_t k = 0; k < panel.channels; k++)
        chunk_row(sums, n, q, which)[c + k] = static_cast<float>(totals[which][k]);
  };
  parallel_chunks(call, size, call.attributes[1], [&](int64_t n, int64_t q, int64_t first, int64_t last) {
    for_each_slab(n, size.C, mean, rstd, gamma, beta, [&](const ChannelNorm<kSlab>& norm, int64_t slab, int64_t count) {
      for_each_panel(count, [&](auto panel, int64_t c) { panel_sums(panel, norm, c, slab + c, n, q, first, last); });
    });
  });
}

}  // namespace

void normalise_backward(const Call& call) { call.attributes[0] != 0 ? backward<true>(call) : backward<false>(call); }

size_t group_norm_gradient_prepare(const Call& call) {
  const char* kernel = "group_norm_gradient";
  const auto& [coefficients, dgamma, dbeta, pixelSums, sums, mean, rstd, gamma, moments] = tensors<9>(call);
  const auto& [pixels, chunk] = attributes<2>(call);
  expect_rank(kernel, "sums", sums, 4, 4);
  const int64_t N = sums.shape[0], C = sums.shape[3];
  expect_shape(kernel, "sums", sums, N, sums.shape[1], 2, C);
  expect_groups(kernel, mean, rstd, N, C);
  expect_table(kernel, "coefficients", coefficients, N, 4, C);
  expect_shape(kernel, "gamma", gamma, C);
  expect_shape(kernel, "dgamma", dgamma, C);
  expect_shape(kernel, "dbeta", dbeta, C);
  expect_chunk_count(kernel, pixels, chunk, sums.shape[1]);
  if (!pixelSums.data != !moments.data) fail("ERR_ARGUMENT", kernel, "pixelSums and moments come together");
  if (moments.data) expect_shape(kernel, "moments", moments, N, sums.shape[1], kMoments, C);
  if (pixelSums.data) expect_shape(kernel, "pixelSums", pixelSums, N, C);
  return 2 * sizeof(double) * N * C;
}

void group_norm_gradient(const Call& call) {
  const auto& [coefficients, dgamma, dbeta, pixelSums_, sums, mean, rstd, gamma, moments_] = tensors<9>(call);
  const Tensor &pixel_sums = pixelSums_, &moments = moments_;
  const int64_t pixels = call.attributes[0], chunk = call.attributes[1];
  const int64_t N = sums.shape[0], C = channels(sums), chunks = sums.shape[1], G = mean.shape[1], count = C / G;
  const double M = static_cast<double>(pixels * count);
  double* totals = reinterpret_cast<double*>(call.scratch);  // [N, 2, C]: Σ dz and Σ dz h of a sample
  float* table = f32(coefficients);
  const float *means = f32(mean), *rstds = f32(rstd), *gammas = f32(gamma);
  parallel_items(call, N, 2 * chunks * C, [&, &sums = sums](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      double *dz = totals + 2 * n * C, *dz_h = dz + C;
      for (int64_t c = 0; c < C; c++) dz[c] = dz_h[c] = 0;
      for (int64_t q = 0; q < chunks; q++) {
        const float *first = chunk_row(sums, n, q, 0), *second = chunk_row(sums, n, q, 1);
        for (int64_t c = 0; c < C; c++) dz[c] += first[c];
        for (int64_t c = 0; c < C; c++) dz_h[c] += second[c];
      }
      for (int64_t g = 0; g < G; g++) {
        const double m = means[n * G + g], r = rstds[n * G + g];
        const int64_t from = g * count, to = from + count;
        double A = 0, B = 0;
        for (int64_t c = from; c < to; c++) {
          dz_h[c] *= r;
          A += gammas[c] * dz[c];
          B += gammas[c] * dz_h[c];
        }
        float* row_of = table + n * 4 * C;
        for (int64_t c = from; c < to; c++) {
          row_of[c] = static_cast<float>(m);
          row_of[C + c] = static_cast<float>(r * gammas[c]);
          row_of[2 * C + c] = static_cast<float>(r * r * B / M);
          row_of[3 * C + c] = static_cast<float>(r * A / M);
        }
        if (!pixel_sums.data) continue;
        for (int64_t c = from; c < to; c++) {
          double deviation = 0;
          for (int64_t q = 0; q < chunks; q++)
            deviation += (chunk_mean(moments, n, q, c) - m) * smaller(chunk, pixels - q * chunk);
          row(pixel_sums, n)[c] =
              static_cast<float>(r * gammas[c] * dz[c] - r * r * B / M * deviation - r * A / M * pixels);
        }
      }
    }
  });
  // Sums over the samples, into those of the first.
  for (int64_t n = 1; n < N; n++)
    for (int64_t i = 0; i < 2 * C; i++) totals[i] += totals[2 * n * C + i];
  for (int64_t c = 0; c < C; c++) {
    f32(dbeta)[c] = static_cast<float>(totals[c]);
    f32(dgamma)[c] = static_cast<float>(totals[C + c]);
  }
}

size_t normalise_gradient_prepare(const Call& call) {
  const char* kernel = "normalise_gradient";
  const auto& [dx, dz, x, coefficients, addend] = tensors<5>(call);
  expect_rank(kernel, "x", x, 2, kMaxRank);
  expect_same_shape(kernel, "dx", dx, x);
  expect_same_shape(kernel, "dz", dz, x);
  expect_table(kernel, "coefficients", coefficients, x.shape[0], 4, channels(x));
  if (addend.data) expect_same_shape(kernel, "addend", addend, x);
  return 0;
}

void normalise_gradient(const Call& call) {
  const auto& [dx_, dz_, x_, coefficients_, addend_] = tensors<5>(call);
  const Tensor &dx = dx_, &dz = dz_, &x = x_, &coefficients = coefficients_, &addend = addend_;
  const Sizes size = sizes(x);
  parallel_pixels(call, size, [&](int64_t n, int64_t begin, int64_t end) {
    for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
      for_each_panel(size.C, [&](auto panel, int64_t c) {
        const float *mean = table_row(coefficients, n, 0) + c, *own = table_row(coefficients, n, 1) + c;
        const float *along = table_row(coefficients, n, 2) + c, *level = table_row(coefficients, n, 3) + c;
        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++) {
          const Vec d =
              input_gradient({panel.load(mean, v), panel.load(own, v), panel.load(along, v), panel.load(level, v)},
                             panel.load(row(dz, p) + c, v), panel.load(row(x, p) + c, v));
          panel.store(row(dx, p) + c, v, addend.data ? d + panel.load(row(addend, p) + c, v) : d);
        }
      });
    }
  });
}

}  // namespace diffuse::DIFFUSE_ISA
