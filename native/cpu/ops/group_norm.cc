// Group normalisation on the CPU, forward (ops/group_norm.h has the formulas and the legend).
#include "ops/group_norm.h"

#include <math.h>

#include "cpu/norm_chunks.h"

namespace diffuse::DIFFUSE_ISA {

// --- Moments of channels

size_t channel_moments_prepare(const Call& call) {
  const auto& [moments, x] = tensors<2>(call);
  expect_rank("channel_moments", "x", x, 2, kMaxRank);
  expect_chunks("channel_moments", "moments", moments, x, call.attributes[0], kMoments);
  return 0;
}

namespace {

// The moments of the channels of a panel over a chunk; `step` floats from one of the three to the next.
template <typename Panel, typename T>
DIFFUSE_INLINE void take_moments(Panel panel, const T* x, int64_t stride, int64_t pixels, float* moments,
                                 int64_t step) {
  constexpr int V = Panel::vectors;
  // Means count from the first pixel.
  float origin[V * kLanes];
  DIFFUSE_UNROLL for (int v = 0; v < V; v++) store(origin + v * kLanes, panel.load(x, v));
  double means[V * kLanes] = {}, squares[V * kLanes] = {};
  for (int64_t before = 0; before < pixels; before += kBlockPixels) {
    const int64_t count = smaller(kBlockPixels, pixels - before);
    // The block lies in the first-level cache from the first pass on.
    const T* block = x + before * stride;
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
      const double own = static_cast<double>(shifts[k]) - origin[k] + sums[k] * inverse, delta = own - means[k];
      means[k] += delta * weight;
      squares[k] += products[k] - sums[k] * inverse * sums[k] + delta * delta * before * weight;
    }
  }
  for (int64_t k = 0; k < panel.channels; k++) {
    moments[k] = origin[k];
    moments[step + k] = static_cast<float>(means[k]);
    moments[2 * step + k] = static_cast<float>(squares[k]);
  }
}

}  // namespace

void channel_moments(const Call& call) {
  const auto& [moments, x_] = tensors<2>(call);
  const Tensor& x = x_;
  const Sizes size = sizes(x);
  with_images(x, [&, &m = moments](auto element) {
    using T = decltype(element);
    parallel_chunks(call, size, call.attributes[0], [&](int64_t n, int64_t q, int64_t first, int64_t last) {
      const T* from = row<T>(x, n * size.P + first);
      for_each_panel(size.C, [&](auto panel, int64_t c) {
        take_moments(panel, from + c, x.row_stride, last - first, chunk_row(m, n, q, 0) + c, m.row_stride);
      });
    });
  });
}

// --- Statistics of groups

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

template <typename T, bool Silu>
DIFFUSE_INLINE void forward(const Call& call) {
  const auto& [y_, x_, mean_, rstd_, gamma_, beta_] = tensors<6>(call);
  const Tensor &y = y_, &x = x_, &mean = mean_, &rstd = rstd_, &gamma = gamma_, &beta = beta_;
  const Sizes size = sizes(x);
  parallel_pixels(call, size, [&](int64_t n, int64_t begin, int64_t end) {
    for_each_slab(n, size.C, mean, rstd, gamma, beta,
                  [&](const ChannelNorm<kSlab>& norm, int64_t first, int64_t count) {
                    for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
                      const T* from = row<T>(x, p) + first;
                      T* to = row<T>(y, p) + first;
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
  expect_rank("normalise_forward", "x", x, 2, kMaxRank);
  expect_norm("normalise_forward", mean, rstd, gamma, beta, x.shape[0], channels(x));
  expect_same_shape("normalise_forward", "y", y, x);
  return 0;
}

void normalise_forward(const Call& call) {
  with_images(call.tensors[0], [&](auto element) {
    using T = decltype(element);
    call.attributes[0] != 0 ? forward<T, true>(call) : forward<T, false>(call);
  });
}

}  // namespace diffuse::DIFFUSE_ISA
