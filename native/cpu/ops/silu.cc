// SiLU on the CPU (ops/silu.h has the formulas).
#include "ops/silu.h"

#include "cpu/expect.h"
#include "cpu/rows.h"

namespace diffuse::DIFFUSE_ISA {

size_t silu_forward_prepare(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  expect_same_shape("silu_forward", "y", y, x);
  return 0;
}

void silu_forward(const Call& call) {
  const auto& [y, x] = tensors<2>(call);
  transform(
      call, [](Vec x) { return x * sigmoid(x); }, y, x);
}

size_t silu_backward_prepare(const Call& call) {
  const auto& [dx, dy, x] = tensors<3>(call);
  expect_same_shape("silu_backward", "dx", dx, x);
  expect_same_shape("silu_backward", "dy", dy, x);
  return 0;
}

void silu_backward(const Call& call) {
  const auto& [dx, dy, x] = tensors<3>(call);
  const auto derivative = [](Vec dy, Vec x) {
    const Vec one = splat(1.0f), s = sigmoid(x);
    return dy * s * madd(x, one - s, one);
  };
  transform(call, derivative, dx, dy, x);
}

}  // namespace diffuse::DIFFUSE_ISA
