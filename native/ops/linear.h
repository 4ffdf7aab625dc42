// Linear map of the channels, and its gradients.
//
//   M rows (all leading dimensions together)   C input channels   K output channels
//
//   x, dx  [..., C]  images: float32 or bf16, all of a call alike; slices of channels allowed
//   y, dy  [..., K]  likewise, same leading dimensions
//   With images of bf16 sums are float32; a matrix unit multiplies weights that are rounded to bf16.
//   weight, dweight [C, K]  float32, dweight contiguous      bias, dbias [K]  float32, optional
//   residual  as the output, optional: it is added to it
//
// forward   y[m, k] = bias[k] + Σ_c x[m, c] weight[c, k] + residual[m, k]
// backward  dx[m, c] = Σ_k dy[m, k] weight[c, k] + residual[m, c]
//           dweight[c, k] = Σ_m x[m, c] dy[m, k]      dbias[k] = Σ_m dy[m, k]
#pragma once

#include "engine/kernel.h"

namespace diffuse {

struct LinearForward {
  const Tensor &y, &x, &weight, &bias, &residual;
};
static inline LinearForward linear_forward_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3], t[4]};
}

struct LinearDataGradient {
  const Tensor &dx, &dy, &weight, &residual;
};
static inline LinearDataGradient linear_data_gradient_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3]};
}

struct LinearWeightGradient {
  const Tensor &dweight, &dbias, &x, &dy;
};
static inline LinearWeightGradient linear_weight_gradient_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3]};
}

}  // namespace diffuse
