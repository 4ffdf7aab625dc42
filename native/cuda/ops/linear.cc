// Linear maps on the GPU (ops/linear.h): convolutions with a window of 1 x 1 over one image that is a row high. Those
// of few rows of float32, which tell a network of time and classes, are small matrix products.
#include "ops/linear.h"

#include "cuda/ops/kernels.h"
#include "cuda/ops/small_matmul.h"

namespace diffuse::cuda {
namespace {

constexpr double kAttributes[] = {1, 0, 0, 0};  // stride, padTop, padLeft, silu

// An image, or weights [C, K], with the rank of a convolution's.
Tensor of_rank_4(const Tensor& t) {
  if (!t.data) return {};
  return {t.data, t.dtype, 4, {1, 1, rows(t), channels(t)}, t.row_stride};
}

// use(convolution) for the call that is the same as the linear map's.
template <typename Use>
auto as_forward(const Call& call, Use&& use) {
  const auto& [y, x, weight, bias, residual] = linear_forward_args(call);
  const Tensor tensors[] = {of_rank_4(y), {}, of_rank_4(x), of_rank_4(weight),  bias, {}, {},
                            {},           {}, {},           of_rank_4(residual)};
  return use(Call{tensors, kAttributes, nullptr, nullptr});
}

template <typename Use>
auto as_data_gradient(const Call& call, Use&& use) {
  const auto& [dx, dy, weight, residual] = linear_data_gradient_args(call);
  const Tensor tensors[] = {of_rank_4(dx),      {}, of_rank_4(dy), of_rank_4(weight), {}, {}, {}, {}, {}, {}, {},
                            of_rank_4(residual)};
  return use(Call{tensors, kAttributes, nullptr, nullptr});
}

template <typename Use>
auto as_weight_gradient(const Call& call, Use&& use) {
  const auto& [dweight, dbias, x, dy] = linear_weight_gradient_args(call);
  const Tensor tensors[] = {of_rank_4(dweight), dbias, of_rank_4(x), of_rank_4(dy), {}, {}, {}, {}, {}, {}};
  return use(Call{tensors, kAttributes, nullptr, nullptr});
}

bool is_small(const Tensor& image, const Tensor& output, int64_t inner) {
  return image.dtype == DType::f32 && is_small_product(rows(output), channels(output), inner);
}

}  // namespace

size_t linear_forward_scratch(const Call& call, const Limits& limits) {
  const auto& [y, x, weight, bias, residual] = linear_forward_args(call);
  if (is_small(x, y, channels(x))) return 0;
  return as_forward(call, [&](const Call& convolution) { return conv2d_forward_scratch(convolution, limits); });
}
void linear_forward(const Call& call, Launcher& launcher) {
  const auto& [y, x, weight, bias, residual] = linear_forward_args(call);
  if (is_small(x, y, channels(x)))
    return launch_small_product({{view(y), view(x), view(weight), channels(x), false, false},
                                 bias.data ? f32(bias) : nullptr,
                                 view(residual),
                                 nullptr},
                                launcher);
  as_forward(call, [&](const Call& convolution) { conv2d_forward(convolution, launcher); });
}

size_t linear_data_gradient_scratch(const Call& call, const Limits& limits) {
  const auto& [dx, dy, weight, residual] = linear_data_gradient_args(call);
  if (is_small(dy, dx, channels(dy))) return 0;
  return as_data_gradient(call,
                          [&](const Call& convolution) { return conv2d_data_gradient_scratch(convolution, limits); });
}
void linear_data_gradient(const Call& call, Launcher& launcher) {
  const auto& [dx, dy, weight, residual] = linear_data_gradient_args(call);
  if (is_small(dy, dx, channels(dy)))
    return launch_small_product(
        {{view(dx), view(dy), view(weight), channels(dy), false, true}, nullptr, view(residual), nullptr}, launcher);
  as_data_gradient(call, [&](const Call& convolution) { conv2d_data_gradient(convolution, launcher); });
}

size_t linear_weight_gradient_scratch(const Call& call, const Limits& limits) {
  const auto& [dweight, dbias, x, dy] = linear_weight_gradient_args(call);
  if (is_small(x, dweight, rows(x))) return 0;
  return as_weight_gradient(
      call, [&](const Call& convolution) { return conv2d_weight_gradient_scratch(convolution, limits); });
}
void linear_weight_gradient(const Call& call, Launcher& launcher) {
  const auto& [dweight, dbias, x, dy] = linear_weight_gradient_args(call);
  if (is_small(x, dweight, rows(x)))
    return launch_small_product(
        {{view(dweight), view(x), view(dy), rows(x), true, false}, nullptr, {}, dbias.data ? f32(dbias) : nullptr},
        launcher);
  as_weight_gradient(call, [&](const Call& convolution) { conv2d_weight_gradient(convolution, launcher); });
}

}  // namespace diffuse::cuda
