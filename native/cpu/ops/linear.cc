// Linear map on the CPU (ops/linear.h has the formulas and the legend): matrix products over the rows.
#include "ops/linear.h"

#include "cpu/expect.h"
#include "cpu/gemm/tap_convolution.h"
#include "cpu/gemm/weight_gradient.h"

namespace diffuse::DIFFUSE_ISA {
namespace {

void expect_linear(const char* kernel, const char* input_name, const Tensor& input, const char* output_name,
                   const Tensor& output, const char* weight_name, const Tensor& weight, const char* bias_name,
                   const Tensor* bias) {
  expect_rank(kernel, input_name, input, 1, kMaxRank);
  expect_rank(kernel, output_name, output, input.rank, input.rank);
  expect_shape(kernel, weight_name, weight, channels(input), channels(output));
  Tensor expected = input;
  expected.shape[input.rank - 1] = channels(output);
  expect_same_shape(kernel, output_name, output, expected);
  if (bias && bias->data) expect_shape(kernel, bias_name, *bias, channels(output));
}

TapConvolution plan_forward(const LinearForward& call) {
  const auto& [y, x, weight, bias, residual] = call;
  return product(rows(x), channels(y), channels(x), f32(x), x.row_stride, false, f32(weight), weight.row_stride, false,
                 f32(y), y.row_stride, f32(bias), f32(residual), residual.row_stride);
}

TapConvolution plan_data_gradient(const LinearDataGradient& call) {
  const auto& [dx, dy, weight, residual] = call;
  return product(rows(dy), channels(dx), channels(dy), f32(dy), dy.row_stride, false, f32(weight), weight.row_stride,
                 true, f32(dx), dx.row_stride, nullptr, f32(residual), residual.row_stride);
}

// The rows are the pixels of one image that is one row high.
WeightGradient plan_weight_gradient(const Tensor& dweight, const Tensor& dbias, const Tensor& x, const Tensor& dy) {
  WeightGradient w{};
  w.x.image = {f32(x), x.row_stride, 1, 1, rows(x), channels(x), false};
  w.dy.image = {f32(dy), dy.row_stride, 1, 1, rows(dy), channels(dy), false};
  w.dweight = f32(dweight);
  w.dbias = f32(dbias);
  w.window = {1, 0, 0, 0, 0};
  return w;
}

}  // namespace

size_t linear_forward_prepare(const Call& call) {
  const auto& [y, x, weight, bias, residual] = linear_forward_args(call);
  expect_linear("linear_forward", "x", x, "y", y, "weight", weight, "bias", &bias);
  if (residual.data) expect_same_shape("linear_forward", "residual", residual, y);
  return tap_convolution_scratch(call, plan_forward(linear_forward_args(call)));
}

void linear_forward(const Call& call) { tap_convolution(call, plan_forward(linear_forward_args(call))); }

size_t linear_data_gradient_prepare(const Call& call) {
  const auto& [dx, dy, weight, residual] = linear_data_gradient_args(call);
  expect_linear("linear_data_gradient", "dx", dx, "dy", dy, "weight", weight, "", nullptr);
  if (residual.data) expect_same_shape("linear_data_gradient", "residual", residual, dx);
  return tap_convolution_scratch(call, plan_data_gradient(linear_data_gradient_args(call)));
}

void linear_data_gradient(const Call& call) {
  tap_convolution(call, plan_data_gradient(linear_data_gradient_args(call)));
}

size_t linear_weight_gradient_prepare(const Call& call) {
  const auto& [dweight, dbias, x, dy] = linear_weight_gradient_args(call);
  expect_linear("linear_weight_gradient", "x", x, "dy", dy, "dweight", dweight, "dbias", &dbias);
  expect_contiguous("linear_weight_gradient", "dweight", dweight);
  return weight_gradient_scratch(call, plan_weight_gradient(dweight, dbias, x, dy));
}

void linear_weight_gradient(const Call& call) {
  const auto& [dweight, dbias, x, dy] = linear_weight_gradient_args(call);
  weight_gradient(call, plan_weight_gradient(dweight, dbias, x, dy));
}

}  // namespace diffuse::DIFFUSE_ISA
