// 2-D convolution on the CPU (ops/conv2d.h has the formulas and the legend). The loops are in cpu/gemm: conv_plan.h
// decides how a convolution is computed, products.h by which unit.
#include "ops/conv2d.h"

#include "cpu/expect_norm.h"
#include "cpu/gemm/conv_plan.h"
#include "cpu/rows.h"
#include "ops/group_norm.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

// Rows or columns of padding that the sizes imply at the far end must be sensible, lest a wrong shape be computed in
// silence.
void expect_extent(const char* kernel, const char* what, int64_t input, int64_t output, int64_t window, int64_t stride,
                   int64_t before) {
  int64_t after = (output - 1) * stride + window - before - input;
  if (after <= -stride || after > kMaxKernel)
    fail("ERR_SHAPE", kernel, "%lld output %s do not follow from %lld with stride %lld and a window of %lld",
         (long long)output, what, (long long)input, (long long)stride, (long long)window);
}

Conv2dShape expect_convolution(const char* kernel, const Call& call, const char* image_name, const Tensor& image,
                               const char* output_name, const Tensor& output, const char* weight_name,
                               const Tensor& weight, const char* bias_name, const Tensor* bias) {
  expect_rank(kernel, image_name, image, 4, 4);
  expect_rank(kernel, output_name, output, 4, 4);
  expect_rank(kernel, weight_name, weight, 4, 4);
  const char* names[] = {"padTop", "padLeft"};
  if (call.attributes[0] != 1 && call.attributes[0] != 2)
    fail("ERR_ARGUMENT", kernel, "stride is %g, expected 1 or 2", call.attributes[0]);
  for (int i = 0; i < 2; i++) {
    double pad = call.attributes[1 + i];
    if (!(pad >= 0 && pad <= kMaxKernel) || pad != static_cast<int64_t>(pad))
      fail("ERR_ARGUMENT", kernel, "%s is %g, expected an integer from 0 to %d", names[i], pad, kMaxKernel);
  }
  Conv2dShape s = conv2d_shape(call, image, output, weight);
  if (s.kh > kMaxKernel || s.kw > kMaxKernel)
    fail("ERR_SHAPE", kernel, "a window of %lld x %lld is too large, at most %d x %d", (long long)s.kh, (long long)s.kw,
         kMaxKernel, kMaxKernel);
  expect_shape(kernel, weight_name, weight, s.kh, s.kw, s.C, s.K);
  expect_shape(kernel, output_name, output, s.N, s.OH, s.OW, s.K);
  if (bias && bias->data) expect_shape(kernel, bias_name, *bias, s.K);
  expect_extent(kernel, "rows", s.H, s.OH, s.kh, s.stride, s.pad_top);
  expect_extent(kernel, "columns", s.W, s.OW, s.kw, s.stride, s.pad_left);
  return s;
}

void expect_norm(const char* kernel, const Conv2dNorm& norm, int64_t N, int64_t C) {
  const auto& [mean, rstd, gamma, beta] = norm;
  const bool all = mean.data && rstd.data && gamma.data && beta.data;
  if (!all && (mean.data || rstd.data || gamma.data || beta.data))
    fail("ERR_ARGUMENT", kernel, "mean, rstd, gamma and beta come together");
  if (all) expect_norm(kernel, mean, rstd, gamma, beta, N, C);
}

void expect_normalised(const char* kernel, const Tensor& normalised, const Tensor& coefficients, const Tensor& dy) {
  if (!normalised.data != !coefficients.data) fail("ERR_ARGUMENT", kernel, "normalised and coefficients come together");
  if (!normalised.data) return;
  expect_same_shape(kernel, "normalised", normalised, dy);
  expect_shape(kernel, "coefficients", coefficients, dy.shape[0], 4, dy.shape[3]);
  expect_contiguous(kernel, "coefficients", coefficients);
}

// So many numbers of a channel of an image [N, H, W, C]; the chunks are those of Finish.
void expect_chunks(const char* kernel, const char* name, const Tensor& chunks, const Tensor& image, int64_t numbers) {
  expect_shape(kernel, name, chunks, image.shape[0], divide_up(image.shape[1], kChunkRows), numbers, image.shape[3]);
}

template <typename T>
Source<T> source_of(const Tensor& x) {
  Source<T> s;
  s.image = {data_of<T>(x), x.row_stride, x.shape[0], x.shape[1], x.shape[2], x.shape[3], false};
  return s;
}

template <typename T>
Source<T> normalised_source(const Tensor& x, const Conv2dNorm& norm, bool silu) {
  Source<T> s = source_of<T>(x);
  if (!norm.mean.data) return s;
  s.reading = silu ? Reading::norm_silu : Reading::norm;
  s.mean = norm.mean, s.rstd = norm.rstd, s.gamma = norm.gamma, s.beta = norm.beta;
  return s;
}

template <typename T>
Source<T> gradient_source(const Tensor& dy, const Tensor& normalised, const Tensor& coefficients) {
  Source<T> s = source_of<T>(dy);
  if (!normalised.data) return s;
  s.reading = Reading::gradient;
  s.second = data_of<T>(normalised);
  s.second_stride = normalised.row_stride;
  s.coefficients = f32(coefficients);
  return s;
}

template <typename T>
Outputs<T> outputs_of(const Tensor& y, const Tensor* bias) {
  Outputs<T> to{};
  to.data = data_of<T>(y);
  to.stride = y.row_stride;
  to.N = y.shape[0], to.H = y.shape[1], to.W = y.shape[2], to.K = y.shape[3];
  to.bias = bias ? f32(*bias) : nullptr;
  return to;
}

template <typename T>
ConvolutionPlan<T> forward_plan(const Call& call) {
  const auto& [y, moments, x, weight, bias, norm, shift, residual] = conv2d_forward_args(call);
  Outputs<T> to = outputs_of<T>(y, &bias);
  if (moments.data || shift.data || residual.data) to.finish.finishing = Finishing::sum;
  to.finish.shift = shift;
  to.finish.residual = residual;
  to.finish.chunks = moments;
  return {conv2d_shape(call, x, y, weight),
          false,
          normalised_source<T>(x, norm, call.attributes[3] != 0),
          to,
          f32(weight),
          weight.row_stride};
}

template <typename T>
ConvolutionPlan<T> data_gradient_plan(const Call& call) {
  const auto& [dx, sums, dy, weight, normalised, coefficients, x, norm, residual] = conv2d_data_gradient_args(call);
  Outputs<T> to = outputs_of<T>(dx, nullptr);
  if (x.data) {
    Finish& f = to.finish;
    f.finishing = Finishing::norm_backward;
    f.silu = call.attributes[3] != 0;
    f.x = x, f.mean = norm.mean, f.rstd = norm.rstd, f.gamma = norm.gamma, f.beta = norm.beta;
    f.chunks = sums;
  }
  if (residual.data) {
    to.finish.finishing = Finishing::sum;
    to.finish.residual = residual;
  }
  return {conv2d_shape(call, dx, dy, weight),
          true,
          gradient_source<T>(dy, normalised, coefficients),
          to,
          f32(weight),
          weight.row_stride};
}

template <typename T>
WeightGradientPlan<T> weight_gradient_plan(const Call& call) {
  const auto& [dweight, dbias, x, dy, norm, normalised, coefficients] = conv2d_weight_gradient_args(call);
  return {conv2d_shape(call, x, dy, dweight), normalised_source<T>(x, norm, call.attributes[3] != 0),
          gradient_source<T>(dy, normalised, coefficients), f32(dweight), f32(dbias)};
}

}  // namespace

size_t conv2d_forward_prepare(const Call& call) {
  const char* kernel = "conv2d_forward";
  const auto& [y, moments, x, weight, bias, norm, shift, residual] = conv2d_forward_args(call);
  const Conv2dShape shape = expect_convolution(kernel, call, "x", x, "y", y, "weight", weight, "bias", &bias);
  expect_norm(kernel, norm, shape.N, shape.C);
  if (shift.data) expect_shape(kernel, "shift", shift, shape.N, shape.K);
  if (residual.data) expect_same_shape(kernel, "residual", residual, y);
  if (moments.data) expect_chunks(kernel, "moments", moments, y, kMoments);
  return with_images(x, [&](auto e) { return convolution_scratch(call, forward_plan<decltype(e)>(call)); });
}

void conv2d_forward(const Call& call) {
  with_images(conv2d_forward_args(call).x, [&](auto e) { convolution(call, forward_plan<decltype(e)>(call)); });
}

size_t conv2d_data_gradient_prepare(const Call& call) {
  const char* kernel = "conv2d_data_gradient";
  const auto& [dx, sums, dy, weight, normalised, coefficients, x, norm, residual] = conv2d_data_gradient_args(call);
  const Conv2dShape shape = expect_convolution(kernel, call, "dx", dx, "dy", dy, "weight", weight, "", nullptr);
  expect_normalised(kernel, normalised, coefficients, dy);
  expect_norm(kernel, norm, shape.N, shape.C);
  if (!x.data != !norm.mean.data || !x.data != !sums.data)
    fail("ERR_ARGUMENT", kernel, "x, sums, mean, rstd, gamma and beta come together");
  if (x.data) expect_same_shape(kernel, "x", x, dx);
  if (sums.data) expect_chunks(kernel, "sums", sums, dx, 2);
  if (residual.data) expect_same_shape(kernel, "residual", residual, dx);
  if (residual.data && x.data)
    fail("ERR_ARGUMENT", kernel, "residual cannot be added to what goes through a normalisation");
  return with_images(dx, [&](auto e) { return convolution_scratch(call, data_gradient_plan<decltype(e)>(call)); });
}

void conv2d_data_gradient(const Call& call) {
  with_images(conv2d_data_gradient_args(call).dx,
              [&](auto e) { convolution(call, data_gradient_plan<decltype(e)>(call)); });
}

size_t conv2d_weight_gradient_prepare(const Call& call) {
  const char* kernel = "conv2d_weight_gradient";
  const auto& [dweight, dbias, x, dy, norm, normalised, coefficients] = conv2d_weight_gradient_args(call);
  const Conv2dShape shape = expect_convolution(kernel, call, "x", x, "dy", dy, "dweight", dweight, "dbias", &dbias);
  expect_contiguous(kernel, "dweight", dweight);
  expect_norm(kernel, norm, shape.N, shape.C);
  expect_normalised(kernel, normalised, coefficients, dy);
  return with_images(x,
                     [&](auto e) { return convolution_weight_scratch(call, weight_gradient_plan<decltype(e)>(call)); });
}

void conv2d_weight_gradient(const Call& call) {
  with_images(conv2d_weight_gradient_args(call).x,
              [&](auto e) { convolution_weight_gradient(call, weight_gradient_plan<decltype(e)>(call)); });
}

}  // namespace diffuse::DIFFUSE_ISA
