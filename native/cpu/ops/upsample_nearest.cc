// Nearest-neighbour upsampling on the CPU (ops/upsample_nearest.h has the formulas).
#include "ops/upsample_nearest.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

constexpr int kSpatial = 3;

// Small and large image as volumes; missing leading dimensions have size 1.
struct Volumes {
  int64_t N, C, size[kSpatial], factor[kSpatial];
};

Volumes volumes(const Tensor& small, const Tensor& large) {
  Volumes v{small.shape[0], channels(small), {1, 1, 1}, {1, 1, 1}};
  const int spatial = small.rank - 2;
  for (int i = 0; i < spatial; i++) {
    v.size[kSpatial - spatial + i] = small.shape[1 + i];
    v.factor[kSpatial - spatial + i] = large.shape[1 + i] / small.shape[1 + i];
  }
  return v;
}

size_t prepare(const char* kernel, const char* small_name, const Tensor& small, const char* large_name,
               const Tensor& large) {
  expect_rank(kernel, small_name, small, 3, kMaxRank);
  bool fits = large.rank == small.rank && large.shape[0] == small.shape[0] && channels(large) == channels(small);
  for (int i = 1; fits && i + 1 < small.rank; i++) fits = large.shape[i] % small.shape[i] == 0;
  if (!fits)
    fail("ERR_SHAPE", kernel, "%s has shape %s, which is not a whole multiple of %s with shape %s", large_name,
         describe(large).text, small_name, describe(small).text);
  return 0;
}

// body(small row, large row) for every pixel of the block that row `r` of the small volume stands for.
template <typename Body>
DIFFUSE_INLINE void for_each_copy(const Volumes& v, int64_t r, Body&& body) {
  const int64_t k = r % v.size[2], j = r / v.size[2] % v.size[1], ni = r / v.size[2] / v.size[1];
  const int64_t height = v.size[1] * v.factor[1], width = v.size[2] * v.factor[2];
  for (int64_t a = 0; a < v.factor[0]; a++)
    for (int64_t b = 0; b < v.factor[1]; b++)
      for (int64_t c = 0; c < v.factor[2]; c++)
        body(((ni * v.factor[0] + a) * height + j * v.factor[1] + b) * width + k * v.factor[2] + c);
}

int64_t block_size(const Volumes& v) { return v.factor[0] * v.factor[1] * v.factor[2]; }

template <typename T>
DIFFUSE_INLINE void forward(const Call& call) {
  const auto& [y_, x_] = tensors<2>(call);
  const Tensor &y = y_, &x = x_;
  const Volumes v = volumes(x, y);
  parallel_items(call, rows(x), v.C * block_size(v), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const T* from = row<T>(x, r);
      for_each_copy(v, r, [&](int64_t copy) {
        T* to = row<T>(y, copy);
        for_each_panel(v.C, [&](auto panel, int64_t c) {
          DIFFUSE_UNROLL for (int i = 0; i < panel.vectors; i++) panel.store(to + c, i, panel.load(from + c, i));
        });
      });
    }
  });
}

template <typename T>
DIFFUSE_INLINE void backward(const Call& call) {
  const auto& [dx_, dy_] = tensors<2>(call);
  const Tensor &dx = dx_, &dy = dy_;
  const Volumes v = volumes(dx, dy);
  parallel_items(call, rows(dx), v.C * block_size(v), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      for_each_panel(v.C, [&](auto panel, int64_t c) {
        Vec sum[panel.vectors] = {};
        for_each_copy(v, r, [&](int64_t copy) {
          DIFFUSE_UNROLL for (int i = 0; i < panel.vectors; i++) sum[i] += panel.load(row<T>(dy, copy) + c, i);
        });
        DIFFUSE_UNROLL for (int i = 0; i < panel.vectors; i++) panel.store(row<T>(dx, r) + c, i, sum[i]);
      });
    }
  });
}

}  // namespace

size_t upsample_nearest_forward_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  return prepare("upsample_nearest_forward", "x", x, "y", y);
}

void upsample_nearest_forward(const Call& call) {
  with_images(call.tensors[0], [&](auto element) { forward<decltype(element)>(call); });
}

size_t upsample_nearest_backward_prepare(const Call& call) {
  const auto& [dx, dy] = tensors<2>(call);
  return prepare("upsample_nearest_backward", "dx", dx, "dy", dy);
}

void upsample_nearest_backward(const Call& call) {
  with_images(call.tensors[0], [&](auto element) { backward<decltype(element)>(call); });
}

}  // namespace diffuse::DIFFUSE_ISA
