// Elementwise arithmetic on the CPU (ops/elementwise.h has the formulas).
#include "ops/elementwise.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {

// --- copy

size_t copy_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_same_shape("copy", "y", y, x);
  return 0;
}

void copy(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  transform(
      call, [](Vec x) { return x; }, y, x);
}

// --- cast

size_t cast_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_same_shape("cast", "y", y, x);
  const auto is_image = [](const Tensor& t) { return t.dtype == DType::f32 || t.dtype == DType::bf16; };
  if (!is_image(y) || !is_image(x)) fail("ERR_DTYPE", "cast", "both tensors must be float32 or bf16");
  return 0;
}

void cast(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  const auto same = [](Vec x) { return x; };
  with_images(y, [&, &y = y, &x = x](auto to) {
    with_images(x, [&](auto from) { transform_elements<decltype(to), decltype(from)>(call, same, y, x); });
  });
}

// --- fill

size_t fill_prepare(const Call&) { return 0; }

void fill(const Call& call) {
  const auto& [y] = tensors<1>(call);
  const Vec value = splat(static_cast<float>(call.attributes[0]));
  transform(
      call, [=] { return value; }, y);
}

// --- scale

size_t scale_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_same_shape("scale", "y", y, x);
  return 0;
}

void scale(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  const Vec factor = splat(static_cast<float>(call.attributes[0]));
  transform(
      call, [=](Vec x) { return factor * x; }, y, x);
}

// --- add

size_t add_prepare(const Call& call) {
  const auto& [y, a, b] = tensors<3>(call);
  expect_same_shape("add", "y", y, a);
  expect_same_shape("add", "b", b, a);
  return 0;
}

void add(const Call& call) {
  const auto& [y, a, b] = tensors<3>(call);
  const Vec alpha = splat(static_cast<float>(call.attributes[0])), beta = splat(static_cast<float>(call.attributes[1]));
  transform(
      call, [=](Vec a, Vec b) { return madd(alpha, a, beta * b); }, y, a, b);
}

// --- multiply

size_t multiply_prepare(const Call& call) {
  const auto& [y, a, b] = tensors<3>(call);
  expect_same_shape("multiply", "y", y, a);
  expect_same_shape("multiply", "b", b, a);
  return 0;
}

void multiply(const Call& call) {
  const auto& [y, a, b] = tensors<3>(call);
  transform(
      call, [](Vec a, Vec b) { return a * b; }, y, a, b);
}

// --- add_channels

size_t add_channels_prepare(const Call& call) {
  const auto& [y, x, t] = tensors<3>(call);
  expect_rank("add_channels", "x", x, 2, kMaxRank);
  expect_same_shape("add_channels", "y", y, x);
  expect_shape("add_channels", "t", t, x.shape[0], channels(x));
  return 0;
}

void add_channels(const Call& call) {
  const auto& [y, x, t] = tensors<3>(call);
  transform_pixels(
      call, [](Vec x, Vec t) { return x + t; }, y, x, [&t = t](int64_t n) { return row(t, n); });
}

// --- multiply_samples, divide_samples

// y[n, ...] = f(x[n, ...], operand[n]). With an operand for each sample, not each channel, rows are worked on one by
// one.
template <typename Function>
DIFFUSE_INLINE void transform_samples(const Call& call, Function&& f) {
  const auto& [y, x, operand] = tensors<3>(call);
  const Sizes size = sizes(x);
  const float* a = f32(operand);
  parallel_pixels(call, size, [&, &y = y, &x = x](int64_t n, int64_t begin, int64_t end) {
    for (int64_t p = n * size.P + begin; p < n * size.P + end; p++) {
      for_each_panel(size.C, [&](auto panel, int64_t c) {
        DIFFUSE_UNROLL for (int v = 0; v < panel.vectors; v++)
            panel.store(row(y, p) + c, v, f(panel.load(row(x, p) + c, v), splat(a[n])));
      });
    }
  });
}

static void expect_sample_operand(const char* kernel, const char* name, const Call& call) {
  const auto& [y, x, operand] = tensors<3>(call);
  expect_rank(kernel, "x", x, 2, kMaxRank);
  expect_same_shape(kernel, "y", y, x);
  expect_shape(kernel, name, operand, x.shape[0]);
}

size_t multiply_samples_prepare(const Call& call) {
  expect_sample_operand("multiply_samples", "factor", call);
  return 0;
}

void multiply_samples(const Call& call) {
  transform_samples(call, [](Vec x, Vec factor) { return x * factor; });
}

size_t divide_samples_prepare(const Call& call) {
  expect_sample_operand("divide_samples", "divisor", call);
  return 0;
}

void divide_samples(const Call& call) {
  transform_samples(call, [](Vec x, Vec divisor) { return x / divisor; });
}

}  // namespace diffuse::DIFFUSE_ISA
