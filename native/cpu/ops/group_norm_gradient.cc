// The gradient of group normalisation on the CPU (ops/group_norm.h has the formulas and the legend).
#include <math.h>

#include "cpu/norm_chunks.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

void expect_table(const char* kernel, const char* name, const Tensor& t, int64_t N, int64_t numbers, int64_t C) {
  expect_shape(kernel, name, t, N, numbers, C);
  expect_contiguous(kernel, name, t);
}

// The table's row of a number of channel 0 of a sample.
DIFFUSE_INLINE const float* table_row(const Tensor& table, int64_t n, int64_t number) {
  return f32(table) + (n * table.shape[1] + number) * channels(table);
}

}  // namespace

size_t normalise_backward_prepare(const Call& call) {
  const char* kernel = "normalise_backward";
  const auto& [dz, sums, dy, x, mean, rstd, gamma, beta] = tensors<8>(call);
  const auto& [silu, chunk] = attributes<2>(call);
  expect_rank(kernel, "x", x, 2, kMaxRank);
  expect_norm(kernel, mean, rstd, gamma, beta, x.shape[0], channels(x));
  expect_same_shape(kernel, "dy", dy, x);
  expect_chunks(kernel, "sums", sums, x, chunk, 2);
  if (dz.data) expect_same_shape(kernel, "dz", dz, x);
  if (!dz.data && silu != 0) fail("ERR_ARGUMENT", kernel, "dz is missing: with SiLU it differs from dy");
  return 0;
}

namespace {

template <typename T, bool Silu>
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
          const Vec from = panel.load(row<T>(x, p) + c, v);
          Vec d = panel.load(row<T>(dy, p) + c, v);
          if constexpr (Silu) {
            d *= silu_slope(normalised(from, means[v], scales[v], betas[v]));
            panel.store(row<T>(dz, p) + c, v, d);
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

void normalise_backward(const Call& call) {
  const auto& [dz, sums, dy, x, mean, rstd, gamma, beta] = tensors<8>(call);
  with_images(x, [&](auto element) {
    using T = decltype(element);
    call.attributes[0] != 0 ? backward<T, true>(call) : backward<T, false>(call);
  });
}

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

namespace {

template <typename T>
DIFFUSE_INLINE void input_gradients(const Call& call) {
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
                             panel.load(row<T>(dz, p) + c, v), panel.load(row<T>(x, p) + c, v));
          panel.store(row<T>(dx, p) + c, v, addend.data ? d + panel.load(row<T>(addend, p) + c, v) : d);
        }
      });
    }
  });
}

}  // namespace

void normalise_gradient(const Call& call) {
  with_images(call.tensors[0], [&](auto element) { input_gradients<decltype(element)>(call); });
}

}  // namespace diffuse::DIFFUSE_ISA
