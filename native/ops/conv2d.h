// 2-D convolution (cross-correlation) of channels-last images, and its gradients.
//
//   N images   H x W input pixels   C input channels   OH x OW output pixels   K output channels   kh x kw window
//
//   x, dx  [N, H, W, C]    float32, slices of channels allowed      y, dy  [N, OH, OW, K]  likewise
//   weight, dweight [kh, kw, C, K]  float32, kh and kw 1 .. 7; dweight contiguous
//   bias, dbias     [K]    float32, optional
//
// forward   y[n, i, j, k] = bias[k] + Σ_a,b,c x[n, stride i + a - padTop, stride j + b - padLeft, c] weight[a, b, c, k]
//           x counts as zero outside the image. The padding at the bottom and on the right follows from OH and OW.
// backward  dx[n, u, v, c] = Σ_a,b,k dy[n, (u + padTop - a) / stride, (v + padLeft - b) / stride, k] weight[a, b, c, k]
//           over the a, b for which both divisions leave no remainder and the output exists
//           dweight[a, b, c, k] = Σ_n,i,j x[n, stride i + a - padTop, stride j + b - padLeft, c] dy[n, i, j, k]
//           dbias[k] = Σ_n,i,j dy[n, i, j, k]
//
// Attributes: stride (1 or 2), padTop, padLeft (0 .. 7).
#pragma once

#include "engine/kernel.h"

namespace diffuse {

// The sizes of the legend above.
struct Conv2dShape {
  int64_t N, H, W, C, OH, OW, K, kh, kw, stride, pad_top, pad_left;
};

struct Conv2dForward {
  const Tensor &y, &x, &weight, &bias;
};
static inline Conv2dForward conv2d_forward_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3]};
}

struct Conv2dDataGradient {
  const Tensor &dx, &dy, &weight;
};
static inline Conv2dDataGradient conv2d_data_gradient_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2]};
}

struct Conv2dWeightGradient {
  const Tensor &dweight, &dbias, &x, &dy;
};
static inline Conv2dWeightGradient conv2d_weight_gradient_args(const Call& call) {
  const Tensor* t = call.tensors;
  return {t[0], t[1], t[2], t[3]};
}

// Sizes of a checked call; `image` is x or dx, `output` is y or dy.
static inline Conv2dShape conv2d_shape(const Call& call, const Tensor& image, const Tensor& output,
                                       const Tensor& weight) {
  return {image.shape[0],
          image.shape[1],
          image.shape[2],
          image.shape[3],
          output.shape[1],
          output.shape[2],
          output.shape[3],
          weight.shape[0],
          weight.shape[1],
          static_cast<int64_t>(call.attributes[0]),
          static_cast<int64_t>(call.attributes[1]),
          static_cast<int64_t>(call.attributes[2])};
}

}  // namespace diffuse
