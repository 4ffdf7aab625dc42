// 2-D convolution on the CPU (ops/conv2d.h has the formulas and the legend). The loops are in cpu/gemm: conv_plan.h
// decides how a convolution is computed, tap_convolution.h and weight_gradient.h compute it.
#include "ops/conv2d.h"

#include "cpu/expect.h"
#include "cpu/gemm/conv_plan.h"

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

}  // namespace

size_t conv2d_forward_prepare(const Call& call) {
  const auto& [y, x, weight, bias] = conv2d_forward_args(call);
  Conv2dShape shape = expect_convolution("conv2d_forward", call, "x", x, "y", y, "weight", weight, "bias", &bias);
  TapConvolution plan;
  plan_forward(plan, shape, y, x, weight, bias);
  return tap_convolution_scratch(call, plan);
}

void conv2d_forward(const Call& call) {
  const auto& [y, x, weight, bias] = conv2d_forward_args(call);
  TapConvolution plan;
  plan_forward(plan, conv2d_shape(call, x, y, weight), y, x, weight, bias);
  tap_convolution(call, plan);
}

size_t conv2d_data_gradient_prepare(const Call& call) {
  const auto& [dx, dy, weight] = conv2d_data_gradient_args(call);
  Conv2dShape shape =
      expect_convolution("conv2d_data_gradient", call, "dx", dx, "dy", dy, "weight", weight, "", nullptr);
  TapConvolution plan;
  plan_data_gradient(plan, shape, dx, dy, weight);
  return tap_convolution_scratch(call, plan);
}

void conv2d_data_gradient(const Call& call) {
  const auto& [dx, dy, weight] = conv2d_data_gradient_args(call);
  TapConvolution plan;
  plan_data_gradient(plan, conv2d_shape(call, dx, dy, weight), dx, dy, weight);
  tap_convolution(call, plan);
}

size_t conv2d_weight_gradient_prepare(const Call& call) {
  const auto& [dweight, dbias, x, dy] = conv2d_weight_gradient_args(call);
  Conv2dShape shape =
      expect_convolution("conv2d_weight_gradient", call, "x", x, "dy", dy, "dweight", dweight, "dbias", &dbias);
  expect_contiguous("conv2d_weight_gradient", "dweight", dweight);
  WeightGradient plan;
  plan_weight_gradient(plan, shape, dweight, dbias, x, dy);
  return weight_gradient_scratch(call, plan);
}

void conv2d_weight_gradient(const Call& call) {
  const auto& [dweight, dbias, x, dy] = conv2d_weight_gradient_args(call);
  WeightGradient plan;
  plan_weight_gradient(plan, conv2d_shape(call, x, dy, dweight), dweight, dbias, x, dy);
  weight_gradient(call, plan);
}

}  // namespace diffuse::DIFFUSE_ISA
