// Linear map on the CPU (ops/linear.h has the formulas and the legend): matrix products over the rows.
#include "ops/linear.h"

#include "cpu/expect.h"
#include "cpu/gemm/products.h"
#include "cpu/rows.h"

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

template <typename T>
TapConvolution<T> plan_forward(const LinearForward& call) {
  const auto& [y, x, weight, bias, residual] = call;
  return product<T>(rows(x), channels(y), channels(x), {data_of<T>(x), x.row_stride}, {f32(weight), weight.row_stride},
                    {data_of<T>(y), y.row_stride}, f32(bias), residual);
}

template <typename T>
TapConvolution<T> plan_data_gradient(const LinearDataGradient& call) {
  const auto& [dx, dy, weight, residual] = call;
  return product<T>(rows(dy), channels(dx), channels(dy), {data_of<T>(dy), dy.row_stride},
                    {f32(weight), weight.row_stride, true}, {data_of<T>(dx), dx.row_stride}, nullptr, residual);
}

// The rows are the pixels of one image that is one row high.
template <typename T>
WeightGradient<T> plan_weight_gradient(const LinearWeightGradient& call) {
  const auto& [dweight, dbias, x, dy] = call;
  WeightGradient<T> w{};
  w.x.image = {data_of<T>(x), x.row_stride, 1, 1, rows(x), channels(x), false};
  w.dy.image = {data_of<T>(dy), dy.row_stride, 1, 1, rows(dy), channels(dy), false};
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
  return with_images(
      x, [&](auto e) { return product_scratch(call, plan_forward<decltype(e)>(linear_forward_args(call))); });
}

void linear_forward(const Call& call) {
  const LinearForward args = linear_forward_args(call);
  with_images(args.x, [&](auto e) { run_product(call, plan_forward<decltype(e)>(args)); });
}

size_t linear_data_gradient_prepare(const Call& call) {
  const auto& [dx, dy, weight, residual] = linear_data_gradient_args(call);
  expect_linear("linear_data_gradient", "dx", dx, "dy", dy, "weight", weight, "", nullptr);
  if (residual.data) expect_same_shape("linear_data_gradient", "residual", residual, dx);
  return with_images(dx, [&](auto e) {
    return product_scratch(call, plan_data_gradient<decltype(e)>(linear_data_gradient_args(call)));
  });
}

void linear_data_gradient(const Call& call) {
  const LinearDataGradient args = linear_data_gradient_args(call);
  with_images(args.dx, [&](auto e) { run_product(call, plan_data_gradient<decltype(e)>(args)); });
}

size_t linear_weight_gradient_prepare(const Call& call) {
  const auto& [dweight, dbias, x, dy] = linear_weight_gradient_args(call);
  expect_linear("linear_weight_gradient", "x", x, "dy", dy, "dweight", dweight, "dbias", &dbias);
  expect_contiguous("linear_weight_gradient", "dweight", dweight);
  return with_images(x, [&](auto e) {
    return reduction_scratch(call, plan_weight_gradient<decltype(e)>(linear_weight_gradient_args(call)));
  });
}

void linear_weight_gradient(const Call& call) {
  const LinearWeightGradient args = linear_weight_gradient_args(call);
  with_images(args.x, [&](auto e) { run_reduction(call, plan_weight_gradient<decltype(e)>(args)); });
}

}  // namespace diffuse::DIFFUSE_ISA
